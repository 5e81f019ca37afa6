"""The tour: a home, clips, labels, a model of one's own, and a correction, told step by step.

It gives the commands that a person would give, and moves files as a person would.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from daemon.demo.clips import KINDS, write_clip
from daemon.demo.running import Runner
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.report.status import RecentVideo, Status, read_status
from learner.catalogue import starter_classes
from learner.errors import VidwatchError

LEARNED = 6  # clips of each kind that are labelled
NEW = 2  # clips of each kind that come later
PATIENCE = 900.0  # seconds that a step may take on a slow machine


class Teller(Protocol):
    """Tells a person what happens."""

    def title(self, text: str) -> None:
        """A new step begins."""

    def say(self, text: str) -> None:
        """A sentence of the step."""

    def command(self, line: str) -> None:
        """A line that a person could give to a shell."""

    def working(self, what: str) -> AbstractContextManager[None]:
        """Something is waited for."""


class Tour:
    """The steps, one after the other."""

    def __init__(self, home: Home, runner: Runner, teller: Teller) -> None:
        self._home = home
        self._runner = runner
        self._teller = teller

    def run(self) -> None:
        """Make all steps.

        Raises:
            VidwatchError: the daemon or a command ended, or a step took too long.
        """
        self._make_home()
        self._drop_clips()
        self._label()
        is_promoted = self._train()
        self._drop_new_clips(is_promoted=is_promoted)
        self._correct()
        self._look_back()

    def _make_home(self) -> None:
        self._teller.title("A home: the folder in which everything is")
        self._teller.command(f"export VIDWATCH_HOME={self._home.root}")
        self._command("init")

    def _drop_clips(self) -> None:
        tell = self._teller
        tell.title("Clips are dropped into the inbox, and the daemon classifies them")
        tell.say(
            f"The clips are drawn here, {LEARNED} each of three kinds: {', '.join(KINDS)}. Their "
            "names say which recording each is of (g00, g01, …): a model is judged by recordings "
            "that it has not seen."
        )
        with tell.working("drawing clips"):
            self._write(range(LEARNED))
        tell.command("vidwatch run &")
        self._runner.start_daemon()
        total = LEARNED * len(KINDS)
        with tell.working("the daemon starts, which loads PyTorch, and classifies"):
            status = self._wait(lambda status: status.counts["filed"] == total)
        tell.say(
            f"All {total} are classified, by the starter. It knows {len(starter_classes())} kinds "
            f"of sports and crafts, and none of these, so it is unsure of {status.quality.unsure}:"
        )
        self._command("search", "--most", "5")

    def _label(self) -> None:
        tell = self._teller
        tell.title("You say what they are: each clip is moved into a folder of its class")
        tell.say("A folder below labelled/ is a class, and a clip in it is labelled.")
        for kind in KINDS:
            folder = self._home.root / "labelled" / kind
            pattern = f"{kind.lower()}_*.mp4"
            place = f'"$VIDWATCH_HOME"/labelled/{kind}'
            tell.command(f"mkdir {place}")
            tell.command(f'mv "$VIDWATCH_HOME"/classified/*/{pattern} {place}')
            folder.mkdir(exist_ok=True)
            for path in sorted((self._home.root / "classified").glob(f"*/{pattern}")):
                path.rename(folder / path.name)

    def _train(self) -> bool:
        """Whether the new model took over."""
        tell = self._teller
        tell.title("The daemon trains a model of your classes by itself, and judges it")
        tell.say("It tests each clip with a model that has not seen the clip (cross-validation).")
        with tell.working("the daemon reads the labels and trains"):
            training = self._wait(_is_decided).training
        if training.state == "failed":
            raise VidwatchError(f"the training of the tour failed: {training.error}")
        is_promoted = training.verdict == "promoted"
        end = "takes over" if is_promoted else "does not take over"
        tell.say(f"The model {training.name} {end}. Why, the last table says:")
        self._command("models")
        return is_promoted

    def _drop_new_clips(self, *, is_promoted: bool) -> None:
        tell = self._teller
        tell.title("New clips come, which no model has seen")
        with tell.working("drawing clips"):
            self._write(range(LEARNED, LEARNED + NEW))
        total = (LEARNED + NEW) * len(KINDS)
        with tell.working("the daemon classifies"):
            self._wait(lambda status: status.counts["filed"] == total)
        right = sum(video.class_name == _kind(video) for video in self._new_clips())
        by = "Your model" if is_promoted else "The starter, which still predicts,"
        tell.say(f"{by} is right on {right} of {NEW * len(KINDS)}:")
        self._command("search", "--most", str(NEW * len(KINDS)))

    def _correct(self) -> None:
        tell = self._teller
        tell.title("You look at a prediction, and correct it or accept it")
        clips = self._new_clips()
        wrong = [video for video in clips if video.class_name != _kind(video)]
        least = min(wrong or clips, key=lambda video: video.probability)
        seen = f"{least.name} is called {least.class_name} ({least.probability:.0%})"
        if wrong:
            tell.say(f"{seen}, which is wrong. This corrects it, and the next model learns it:")
            self._command("label", str(least.id), _kind(least))
        else:
            tell.say(f"None is wrong, and the least certain is right: {seen}. This says so:")
            self._command("label", "--accept", str(least.id))
        with tell.working("the daemon moves the clip"):
            self._wait(lambda status: _is_moved(status, least.id))
        tell.say(f"The clip now lies in labelled/{_kind(least)}/.")

    def _look_back(self) -> None:
        self._teller.title("This is what there is now")
        self._command("status")

    def _new_clips(self) -> list[RecentVideo]:
        """The clips that came after the training."""
        new = {_name(kind, number) for kind in KINDS for number in range(LEARNED, LEARNED + NEW)}
        recent = read_status(self._home, now()).recent
        clips = [video for video in recent if video.name in new]
        return sorted(clips, key=lambda video: video.id)

    def _write(self, numbers: range) -> None:
        for kind in KINDS:
            for number in numbers:
                write_clip(self._home.inbox / _name(kind, number), kind, number)

    def _command(self, *words: str) -> None:
        """Give a command of vidwatch; what it prints is shown as it is."""
        self._teller.command(" ".join(["vidwatch", *words]))
        self._runner.command(words)

    def _wait(self, is_done: Callable[[Status], bool]) -> Status:
        deadline = time.monotonic() + PATIENCE
        while True:
            self._runner.require_daemon()
            status = read_status(self._home, now())
            if status.counts["failed"]:
                problem = status.failed[0]
                raise VidwatchError(f"{problem.name} of the tour failed: {problem.reason}")
            if is_done(status):
                return status
            if time.monotonic() > deadline:
                where = self._home.logs
                raise VidwatchError(f"the daemon of the tour takes too long; its log is in {where}")
            time.sleep(0.5)


def _is_decided(status: Status) -> bool:
    """Whether a training has ended, and its model was compared with the one in use."""
    training = status.training
    return training.state == "failed" or (training.state == "trained" and bool(training.verdict))


def _is_moved(status: Status, video: int) -> bool:
    found = next((one for one in status.recent if one.id == video), None)
    return found is not None and Path(found.path).parent.parent.name == "labelled"


def _name(kind: str, number: int) -> str:
    """A file name that states the recording, as `group_pattern` reads it."""
    return f"{kind.lower()}_g{number:02}_c01.mp4"


def _kind(video: RecentVideo) -> str:
    """What was drawn in a clip."""
    return video.name.partition("_")[0].capitalize()

"""The daemon is killed at each step of a video's way, and at random times: nothing is lost, and
nothing is doubled.
"""

import hashlib
import importlib
import random
import subprocess
from operator import attrgetter

import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

STEPS = [
    f"{function}:{when}"
    for function in (
        "daemon.database.queue:Queue.recover",
        "daemon.database.queue:Queue.enqueue",
        "daemon.labels.class_folders:ClassFolders.notice",
        "daemon.database.queue:Queue.claim",
        "daemon.classify.decoding:Decoders.read",
        "daemon.classify.reading:read",  # in a decoder: the daemon goes on
        "daemon.classify.shared_frames:SharedFrames.put",  # there, too: no head says so
        "daemon.classify.inference:Inference.__call__",
        "daemon.database.predictions:Predictions.record",
        "daemon.database.queue:Queue.fail",
        "daemon.database.queue:Queue.moves",
        "daemon.home.moving:move_file",
        "daemon.home.doors:Doors.rename",
        "daemon.database.queue:Queue.redirect",
        "daemon.home.reasons:write_reason",
        "daemon.home.moving:sync_folders",
        "daemon.database.queue:Queue.moved",
    )
    for when in ("before", "after")
]


@pytest.mark.parametrize("step", STEPS[::2])
def test_each_step_is_a_function_of_the_program(step: str) -> None:
    module, function, _ = step.split(":")
    assert callable(attrgetter(function)(importlib.import_module(module)))


class Clips:
    """Drops files of all kinds: new ones, copies, same names in two folders, no videos, and
    labelled ones.
    """

    def __init__(self, ordeal: Ordeal) -> None:
        self.ordeal, self.number = ordeal, 0

    def drop(self, files: int) -> None:
        for _ in range(files):
            self.number += 1
            number = self.number
            kind = number % 12
            if kind == 5:
                self.ordeal.drop(number - 4, f"inbox/copy-{number}.avi")
            elif kind == 7:
                self.ordeal.drop(number, f"inbox/{number}.mp4", video=False)
            elif kind == 9:
                self.ordeal.drop(number, f"labelled/bright/{number}.avi")
            else:
                self.ordeal.drop(number, f"inbox/cam{number}/{number // 3:04}.avi")


def kill_all_along(ordeal: Ordeal, kills: int, files: int, seed: int) -> None:
    """Every second kill at a step, alone or with the children; the others at a random time."""
    rng, clips = random.Random(seed), Clips(ordeal)
    print(f"seed {seed}")
    steps = rng.sample(STEPS, len(STEPS))
    for kill in range(kills):
        clips.drop(files // kills)
        all_of_it = rng.random() < 0.5
        if kill % 2:
            ordeal.start(
                f"{steps[kill // 2 % len(steps)]}:{rng.randint(1, 3)}", all_of_it=all_of_it
            )
            ordeal.wait_for(ordeal.reached.exists, seconds=15)
        else:
            ordeal.start()
            ordeal.wait_for(ordeal.home.running)
            ordeal.wait_for(lambda: False, seconds=rng.uniform(0, 8))
        ordeal.kill(all_of_it=all_of_it)
        ordeal.require_all_there()
    ordeal.work_off()
    ordeal.require_well()


def test_a_few_kills(ordeal: Ordeal) -> None:
    kill_all_along(ordeal, kills=3, files=24, seed=1)


@pytest.mark.slow
def test_200_kills_on_the_way_of_2000_clips(ordeal: Ordeal) -> None:
    kill_all_along(ordeal, kills=200, files=2000, seed=random.randrange(10**6))


@pytest.mark.slow
@pytest.mark.parametrize("all_of_it", [False, True], ids=["alone", "with its children"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_a_step(ordeal: Ordeal, step: str, all_of_it: bool) -> None:
    clips = Clips(ordeal)
    clips.drop(24)
    ordeal.drop(1000, "inbox/same.avi")
    ordeal.start(step, all_of_it=all_of_it)
    assert ordeal.wait_for(ordeal.reached.exists), "the step was never reached"
    ordeal.kill(all_of_it=all_of_it)
    ordeal.require_all_there()
    ordeal.work_off()
    ordeal.require_well()


DROPPING = [
    f"{function}:{when}"
    for function in (
        "daemon.classify.reading:read",  # in a decoder: the daemon goes on
        "daemon.database.predictions:Predictions.record_copies",
        "daemon.classify.dropping:Dropping.drop",
        "daemon.database.drops:Drops.begin",
        "daemon.classify.dropping:Dropping._remove",
        "daemon.home.doors:Doors.rename",
        "daemon.home.doors:Doors.remove",
        "daemon.home.moving:sync_folders",
        "daemon.database.drops:Drops.complete",
    )
    for when in ("before", "after")
]


def kill_while_dropping(ordeal: Ordeal, step: str, times: int = 1) -> None:
    """Six clips are filed, then come again twice each; two of the first files are gone by then."""
    ordeal.environment["VIDWATCH_DUPLICATES"] = "drop"
    for number in range(6):
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.work_off()
    for number in (0, 1):
        next(ordeal.home.root.glob(f"classified/*/{number}.avi")).unlink()
    for number in range(6):
        for copy in range(2):
            ordeal.drop(number, f"inbox/again{copy}/{number}.avi")
    ordeal.start(f"{step}:{times}")
    assert ordeal.wait_for(ordeal.reached.exists), "the step was never reached"
    ordeal.kill()
    ordeal.require_each_content()
    ordeal.work_off()
    ordeal.require_removed(10)


@pytest.mark.parametrize("step", DROPPING[::2])
def test_each_step_of_dropping_is_a_function_of_the_program(step: str) -> None:
    module, function, _ = step.split(":")
    assert callable(attrgetter(function)(importlib.import_module(module)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["daemon.home.doors:Doors.rename:after", "daemon.home.doors:Doors.remove:after"]
)
def test_a_kill_before_and_after_a_duplicate_is_removed(ordeal: Ordeal, step: str) -> None:
    # The first two names that are changed are those of clips that are classified anew.
    kill_while_dropping(ordeal, step, times=3 if "rename" in step else 1)


@pytest.mark.slow
@pytest.mark.parametrize("step", DROPPING)
def test_a_kill_at_a_step_of_dropping(ordeal: Ordeal, step: str) -> None:
    kill_while_dropping(ordeal, step)


@pytest.mark.slow
@pytest.mark.parametrize("times", [3, 6])
@pytest.mark.parametrize("step", [step for step in DROPPING if "_remove" in step or "oors" in step])
def test_a_kill_at_a_step_of_dropping_one_of_several(ordeal: Ordeal, step: str, times: int) -> None:
    kill_while_dropping(ordeal, step, times)


def write_long_clip(ordeal: Ordeal, seconds: int) -> None:
    """A long video with changing frames, moved into the inbox whole."""
    made = ordeal.root / ".made" / "long.mp4"
    source = f"testsrc2=size=320x240:rate=25:duration={seconds}"
    ffmpeg = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p"]
    subprocess.run([*ffmpeg, "-c:v", "libx264", "-preset", "veryfast", str(made)], check=True)
    content = hashlib.sha256(made.read_bytes()).hexdigest()
    ordeal.dropped[content] += 1
    ordeal.videos.add(content)
    made.rename(ordeal.home.inbox / "long.mp4")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed alone", "killed with its children", "stopped"])
def test_a_long_video_whose_daemon_ends_again_and_again_has_each_window_once(
    ordeal: Ordeal, how: str
) -> None:
    ordeal.environment |= {
        "VIDWATCH_WINDOWS": "2/1",
        "VIDWATCH_WINDOWS_FROM_SECONDS": "10",
        "VIDWATCH_BATCH_SIZE": "2",
    }
    write_long_clip(ordeal, 120)
    numbers = "SELECT number FROM windows ORDER BY id"
    for _ in range(4):
        before = ordeal.query(numbers)
        ordeal.start()
        enough = len(before) + 5
        assert ordeal.wait_for(lambda n=enough: len(ordeal.query(numbers)) >= n)
        if how == "stopped":
            ordeal.stop()  # SIGTERM
        else:
            ordeal.kill(all_of_it=how == "killed with its children")
        after = ordeal.query(numbers)
        assert after[: len(before)] == before, "windows were predicted again"
        assert ordeal.query("SELECT count(*) FROM predictions") == [(0,)]
    ordeal.work_off()
    spans = ordeal.query("SELECT number, start_s, end_s FROM windows ORDER BY id")
    assert spans == [(number, number, number + 2) for number in range(119)]
    ordeal.require_well()

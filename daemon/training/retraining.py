"""When to train, the process that does it, and what follows from its result. Never stands in the way of an answer."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from sqlalchemy import Connection, Engine, func, select

from daemon.database.tables import labels, videos
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.labels.enough import what_is_missing
from daemon.labels.queries import new_since
from daemon.training.decisions import Decision, Decisions, Training
from daemon.training.holdout import LabelledVideo, deal, labelled, training_counts
from learner.catalogue import STARTER, read_manifest
from learner.errors import VidwatchError
from learner.recipe import HEAD, load

log = logging.getLogger(__name__)

BY_COMMAND = "vidwatch retrain"
QUIET = 5  # settle times without a new label: people label in bursts, and each is learned from as a whole
MORE_TO_JUDGE_BY = (
    5  # holdout clips, where the comparison that was undecided does not say how many are missing
)


@dataclass
class _Running:
    """The process, what it said last, and the pipe of its news."""

    process: subprocess.Popen[bytes]
    news: IO[bytes]
    training: Training | None  # None where only a comparison is made again
    challenger: str
    champion: str
    until: datetime
    ended_by: str | None = None
    result: dict[str, Any] | None = None
    rest: bytes = b""

    def heard(self) -> list[dict[str, Any]]:
        """What it said since the last time, as far as its lines are whole."""
        *lines, self.rest = (self.rest + self.news.read()).split(b"\n")
        return [
            json.loads(line) for line in lines if line.startswith(b"{")
        ]  # a library may print something, too


class Retraining:
    """Tended every few seconds; all of its waiting is done by a process of its own.

    Raises:
        VidwatchError: the setting `retrain` names no recipe.
    """

    def __init__(self, home: Home, settings: Settings, history: Decisions) -> None:
        if settings.retrain != HEAD:
            load(
                settings.retrain
            )  # a recipe that there is not is told now, not when there is something to learn
        self._home, self._settings, self._decisions = home, settings, history
        self._engine: Engine = history.engine
        self._running: _Running | None = None
        self._newest = self._seen = 0
        self._look_at, self._latest = (
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
        )

    def tend(self, now: datetime) -> None:
        """Look after the process that trains; begin one where it is time to."""
        try:
            if self._running:
                self._follow(self._running, now)
            elif training := self._decisions.requested_training():
                self._begin(training, now)
            elif self._is_quiet(now):
                self._look(now)
        except (VidwatchError, OSError) as error:
            log.warning("no training now: %s", error)
            self._look_at = now + timedelta(minutes=self._settings.retrain_check_minutes)

    def outlook(self) -> "Outlook":
        """How far it is to the next training."""
        last, known = self._decisions.last_label(), self._known()
        with self._engine.begin() as read:
            return outlook(read, self._settings, last, known)

    def ask(self, newest: int, now: datetime) -> str:
        """Ask for a training by command, where there is a label that none has known."""
        last = self._decisions.last_label(("trained",))  # one that failed may be tried again
        if newest <= last:
            return "nothing was labelled since the last training: nothing to learn"
        return f"asked for: {self._decisions.request_training(BY_COMMAND, now, taken(self._home))}"

    def stop(self) -> None:
        """End the process; the next start of the daemon trains anew."""
        if self._running:
            self._running.process.kill()
            self._running.process.wait()

    def _is_quiet(self, now: datetime) -> bool:
        """Whether it is time to look: no label came for a while and all are answered, or the last look is long ago."""
        unanswered = videos.c.state.in_(("waiting", "queued", "claimed"))
        with self._engine.begin() as read:
            newest = read.scalar(select(func.max(labels.c.id))) or 0
            pending = read.execute(
                select(labels.c.id).join(videos).where(unanswered).limit(1)
            ).first()
        self._latest = min(
            self._latest, now + timedelta(minutes=self._settings.retrain_check_minutes)
        )
        if newest != self._newest or pending:
            self._newest = newest
            self._look_at = min(
                now + timedelta(seconds=QUIET * self._settings.settle_seconds), self._latest
            )
        return now >= self._look_at

    def _look(self, now: datetime) -> None:
        self._look_at = self._latest = now + timedelta(minutes=self._settings.retrain_check_minutes)
        found = self.outlook()
        if found.is_due:
            self._decisions.request_training(f"{found.new} new labels", now, taken(self._home))
        elif row := self._decisions.undecided():
            training, holdout = self._clips(now)
            able = sum(not clip.picked or clip.class_name not in self._known() for clip in holdout)
            if able >= row.figures["able"] + (row.figures["missing"]["clips"] or MORE_TO_JUDGE_BY):
                self._start(row.challenger, None, training, holdout, now)

    def _known(self) -> set[str]:
        """The classes of the champion."""
        name = self._decisions.champion()
        return set(read_manifest(self._home.model_or_starter(name))["classes"]) if name else set()

    def _begin(self, training: Training, now: datetime) -> None:
        try:
            learned, holdout = self._clips(now)
            last = max((clip.label_id for clip in learned + holdout), default=0)
            self._decisions.begin(training, last, now)
            self._start(training.name, training, learned, holdout, now)
        except (VidwatchError, OSError) as error:
            log.warning("%s cannot be trained: %s", training.name, error)
            self._decisions.end(training, "failed", str(error), now)

    def _clips(self, now: datetime) -> tuple[list[LabelledVideo], list[LabelledVideo]]:
        """What is learned from, and what judges."""
        champion = self._home.model_or_starter(self._decisions.champion() or "starter")
        taught, starters = (
            [tuple(clip) for clip in read_manifest(path)["trained_on"]]
            for path in (champion, STARTER)
        )
        barred = {sha256 for sha256, _, _ in starters}
        seen = barred | {sha256 for sha256, _, _ in taught}
        sides = deal(self._engine, self._settings.holdout_share, taught, barred, now)
        with self._engine.begin() as read:
            clips = labelled(read)
        self._seen = sum(clip.sha256 in seen for clip in clips)
        of_side = {
            side: [clip for clip in clips if sides.get(clip.group) == side]
            for side in ("training", "holdout")
        }
        return of_side["training"], of_side["holdout"]

    def _forgotten(self, labelled_now: set[str]) -> list[str]:
        """The content of which something was said that is no label now: what it taught is not rehearsed."""
        query = select(videos.c.sha256).join(labels).where(videos.c.sha256.is_not(None)).distinct()
        with self._engine.begin() as read:
            return sorted(set(read.execute(query).scalars()) - labelled_now)

    def _start(
        self,
        challenger: str,
        training: Training | None,
        learned: Sequence[LabelledVideo],
        holdout: Sequence[LabelledVideo],
        now: datetime,
    ) -> None:
        champion = self._decisions.champion() or "starter"
        path, settings = self._home.model(challenger), self._settings
        job = {
            "challenger": str(path),
            "champion": str(self._home.model_or_starter(champion)),
            "is_trained": training is None,
            "recipe": settings.retrain,
            "device": settings.device,
            "memory": settings.training_memory,
            "exact": settings.exact_frames,
            "cache": round(settings.cache_gigabytes * GIGABYTE),
            "min_class_clips": settings.min_class_clips,
            "training": [_described(clip) for clip in learned],
            "holdout": [_described(clip) for clip in holdout],
            "forgotten": self._forgotten({clip.sha256 for clip in [*learned, *holdout]}),
            "look": self._decisions.count_comparisons() + 1,
            "rule": {
                name: getattr(settings, name)
                for name in ("margin", "class_loss", "new_class_recall")
            },
        }
        folder = path.with_name(f"{challenger}.run")
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "news.jsonl").open("wb") as news, (folder / "log.txt").open("ab") as errors:
            # In the daemon's own session: Linux gives each session an equal share of the processors, whatever the
            # priority of its processes. In another one, training made classification seven times slower.
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon.training.trainer", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=news,
                stderr=errors,
            )
        assert process.stdin
        with process.stdin as told:
            told.write(json.dumps(job).encode())
        until = now + timedelta(minutes=settings.training_minutes)
        said = (folder / "news.jsonl").open("rb")
        self._running = _Running(process, said, training, challenger, champion, until)
        log.info(
            "%s %s: its log is %s",
            "training" if training else "comparing",
            challenger,
            folder / "log.txt",
        )

    def _follow(self, running: _Running, now: datetime) -> None:
        ended = running.process.poll() is not None
        progress = None
        for news in running.heard():
            progress = news.get("progress", progress)
            if "verdict" in news or "error" in news:
                running.result = news
        if ended:
            self._conclude(running, now)
            running.news.close()
            self._running = None
        elif progress and running.training:
            self._decisions.note_progress(running.training, progress)
        if not ended and now >= running.until and not running.ended_by:
            running.ended_by = (
                f"took longer than {self._settings.training_minutes:g} minutes (training_minutes)"
            )
            running.process.kill()

    def _conclude(self, running: _Running, now: datetime) -> None:
        result = running.result or {"error": running.ended_by or self._died(running)}
        name = running.challenger
        if "error" in result:
            log.warning("%s: %s", name, result["error"])
            if running.training:
                self._decisions.end(running.training, "failed", result["error"], now)
            else:  # a damaged checkpoint would be compared again for ever
                refused = Decision("refused", f"it cannot be used: {result['error']}", {})
                self._decisions.conclude(name, running.champion, refused, now)
            return
        reason = result["reason"]
        if result["verdict"] == "undecided" and self._seen:
            reason += f" {self._seen} labelled clips cannot judge: this model or the starter learned from them."
        decision = Decision(result["verdict"], reason, result["figures"])
        if self._decisions.conclude(name, running.champion, decision, now, running.training):
            log.info("%s is %s: %s", name, decision.verdict, decision.reason)

    def _died(self, running: _Running) -> str:
        code = running.process.returncode
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        return f"its process ended ({how}); {self._home.model(running.challenger)}.run/log.txt may tell why"


def taken(home: Home) -> set[str]:
    """The names of what lies among the models already."""
    return {path.stem for path in home.models.glob("auto-*")}


def ask(engine: Engine, home: Home, settings: Settings, now: datetime) -> str:
    """Ask the daemon for a training; gives what to tell the person who wants it.

    Raises:
        VidwatchError: there are no labels.
    """
    retraining = Retraining(home, settings, Decisions(engine))
    with engine.begin() as read:
        clips = labelled(read)
    if not clips:
        raise VidwatchError(
            "retrain: there are no labels to learn from; put clips into labelled/<class>/"
        )
    return retraining.ask(max(clip.label_id for clip in clips), now)


def forecast(engine: Engine, home: Home, settings: Settings) -> "Outlook":
    """How far it is to the next training."""
    return Retraining(home, settings, Decisions(engine)).outlook()


@dataclass(frozen=True)
class Outlook:
    """How far it is to the next training: new labels that count, of those needed, and what else is missing."""

    new: int
    needed: int
    short: dict[str, str]

    @property
    def is_due(self) -> bool:
        """Whether it is time to train."""
        return self.new >= self.needed


def outlook(read: Connection, settings: Settings, last_label: int, known: set[str]) -> Outlook:
    """Look at the labels. Those of a class that has too few clips do not count, but for classes known already."""
    short = {}
    for name, n, recordings in training_counts(read):
        missing = what_is_missing(n, recordings, settings.min_class_clips)
        if name not in known and missing:
            short[name] = missing
    new = sum(row.n for row in read.execute(new_since(last_label)) if row.name not in short)
    return Outlook(new, settings.min_new_labels, short)


def _described(clip: LabelledVideo) -> dict[str, Any]:
    return {
        "path": os.fsdecode(clip.path),
        "label": clip.class_name,
        "group": clip.group,
        "sha256": clip.sha256,
        "picked": clip.picked,
    }

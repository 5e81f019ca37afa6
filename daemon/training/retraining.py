"""Decides when to train, follows the process that does it, and notes its result.

Classification never waits for a training.
"""

import logging
import os
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Engine, select

from daemon.database.tables import labels, videos
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.labels.groups import labelled_groups
from daemon.labels.labels import newest_label
from daemon.training.decisions import Decision, Decisions, Training
from daemon.training.forecast import Forecast, count_new_labels
from daemon.training.holdout import LabelledVideo, assign_sides, labelled_videos
from daemon.training.job import Job, LabelledFile, can_judge
from daemon.training.process import LOG, Messages, how_it_ended, start
from learner.catalogue import STARTER, read_manifest
from learner.errors import VidwatchError
from learner.recipe import HEAD, load

log = logging.getLogger(__name__)

BY_COMMAND = "vidwatch retrain"
# For so many settle times no new label must have come before a training is considered: people
# label in bursts, and a training waits for their end.
SETTLE_TIMES_WITHOUT_LABEL = 5
# New holdout clips after which an undecided comparison is made again, if it does not say how many
# it lacks.
MORE_TO_JUDGE = 5
RULE = ("margin", "class_loss", "new_class_recall")  # settings of the comparison


class _Clips(NamedTuple):
    """The labelled videos, by the sides of their groups."""

    training: list[LabelledVideo]
    holdout: list[LabelledVideo]


@dataclass
class _Running:
    """A process that trains a challenger and compares it, or only compares it again."""

    process: subprocess.Popen[bytes]
    messages: Messages
    training: Training | None
    """None if the challenger is only compared again."""
    challenger: str
    champion: str
    deadline: datetime
    """When the process is killed if it has not ended."""
    why_killed: str | None = None
    result: dict[str, Any] | None = None
    """The message with its verdict or its error, once it has sent one."""


class Retraining:
    """Trains challengers in a process of its own. `tend` is called every few seconds.

    Raises:
        VidwatchError: the setting `retrain` names no recipe.
    """

    def __init__(self, home: Home, settings: Settings, decisions: Decisions) -> None:
        if settings.retrain != HEAD:
            load(settings.retrain)  # a wrong name is an error now, not at the first training
        self._home = home
        self._settings = settings
        self._decisions = decisions
        self._engine: Engine = decisions.engine
        self._running: _Running | None = None
        self._newest_label = 0
        self._trained_on = 0  # labelled clips that the champion or the starter was trained on
        # When the new labels are counted: a while after the newest label, but never later than
        # `_check_by`, although labels still come.
        self._check_at = datetime.min.replace(tzinfo=UTC)
        self._check_by = datetime.max.replace(tzinfo=UTC)

    def tend(self, now: datetime) -> None:
        """Follow the process that trains; start one if it is time to."""
        try:
            if self._running:
                self._follow(self._running, now)
            elif training := self._decisions.requested_training():
                self._begin(training, now)
            elif self._is_time_to_check(now):
                self._check(now)
        except (VidwatchError, OSError) as error:
            log.warning("no training now: %s", error)
            self._check_at = now + self._longest_wait()

    def forecast(self) -> Forecast:
        """How near the next training is."""
        last_label = self._decisions.last_label()
        known_classes = self._known_classes()
        with self._engine.begin() as connection:
            return count_new_labels(connection, self._settings, last_label, known_classes)

    def request(self, newest: int, now: datetime) -> str:
        """Request a training for a person, unless the last one knew all labels.

        Args:
            newest: The newest label that a training would know.
            now: The time of the request.

        Returns:
            What to tell the person.
        """
        # A training that failed may be tried again.
        if newest <= self._decisions.last_label(["trained"]):
            return "nothing was labelled since the last training: nothing to learn"
        name = self._decisions.request_training(BY_COMMAND, now, names_in_use(self._home))
        return f"asked for: {name}"

    def stop(self) -> None:
        """End the process; the next start of the daemon trains again."""
        if self._running:
            self._running.process.kill()
            self._running.process.wait()

    def _is_time_to_check(self, now: datetime) -> bool:
        """Whether to count the new labels now.

        It is time when no label has come for a while and all labelled videos have been read, or
        when the last check is long ago.
        """
        is_unread = videos.c.state.in_(("waiting", "queued", "claimed"))
        unread = select(labels.c.id).join(videos).where(is_unread).limit(1)
        with self._engine.begin() as connection:
            newest = newest_label(connection)
            is_pending = connection.execute(unread).first() is not None
        self._check_by = min(self._check_by, now + self._longest_wait())
        if newest != self._newest_label or is_pending:
            self._newest_label = newest
            pause = SETTLE_TIMES_WITHOUT_LABEL * self._settings.settle_seconds
            self._check_at = min(now + timedelta(seconds=pause), self._check_by)
        return now >= self._check_at

    def _longest_wait(self) -> timedelta:
        return timedelta(minutes=self._settings.retrain_check_minutes)

    def _check(self, now: datetime) -> None:
        """Request a training if there are enough new labels, or compare an undecided one again."""
        self._check_at = now + self._longest_wait()
        self._check_by = self._check_at
        forecast = self.forecast()
        if forecast.is_due:
            why = f"{forecast.new} new labels"
            self._decisions.request_training(why, now, names_in_use(self._home))
        elif row := self._decisions.undecided():
            clips = self._clips(now)
            missing = row.figures["missing"]["clips"] or MORE_TO_JUDGE
            if self._count_judging(clips.holdout) >= row.figures["able"] + missing:
                self._start(row.challenger, None, clips, now)

    def _count_judging(self, holdout: Sequence[LabelledVideo]) -> int:
        known = self._known_classes()
        return sum(can_judge(clip.class_name, known, biased=clip.biased) for clip in holdout)

    def _champion(self) -> str:
        return self._decisions.champion() or "starter"

    def _known_classes(self) -> set[str]:
        """The classes of the champion; none before the first start."""
        name = self._decisions.champion()
        if name is None:
            return set()
        return set(read_manifest(self._home.model_or_starter(name))["classes"])

    def _begin(self, training: Training, now: datetime) -> None:
        try:
            clips = self._clips(now)
            label_ids = [clip.label_id for clip in (*clips.training, *clips.holdout)]
            self._decisions.begin(training, max(label_ids, default=0), now)
            self._start(training.name, training, clips, now)
        except (VidwatchError, OSError) as error:
            log.warning("%s cannot be trained: %s", training.name, error)
            self._decisions.end(training, "failed", str(error), now)

    def _clips(self, now: datetime) -> _Clips:
        """All labelled videos; each group that has no side gets one."""
        champion = self._home.model_or_starter(self._champion())
        trained_on = [tuple(clip) for clip in read_manifest(champion)["trained_on"]]
        of_starter = {sha256 for sha256, _, _ in read_manifest(STARTER)["trained_on"]}
        share = self._settings.holdout_share
        sides = assign_sides(self._engine, share, trained_on, of_starter, now)
        with self._engine.begin() as connection:
            clips = labelled_videos(connection)
        seen = of_starter | {sha256 for sha256, _, _ in trained_on}
        self._trained_on = sum(clip.sha256 in seen for clip in clips)
        return _Clips(
            training=[clip for clip in clips if sides.get(clip.group) == "training"],
            holdout=[clip for clip in clips if sides.get(clip.group) == "holdout"],
        )

    def _start(
        self, challenger: str, training: Training | None, clips: _Clips, now: datetime
    ) -> None:
        """Start the process; `training` is None if the challenger is only compared again."""
        champion = self._champion()
        job = self._job(challenger, champion, clips, is_trained=training is None)
        folder = self._home.model(challenger).with_name(f"{challenger}.run")
        self._running = _Running(
            process=start(job, folder),
            messages=Messages(folder),
            training=training,
            challenger=challenger,
            champion=champion,
            deadline=now + timedelta(minutes=self._settings.training_minutes),
        )
        what = "training" if training else "comparing"
        log.info("%s %s: its log is %s", what, challenger, folder / LOG)

    def _job(self, challenger: str, champion: str, clips: _Clips, *, is_trained: bool) -> Job:
        settings = self._settings
        labelled = {clip.sha256 for clip in (*clips.training, *clips.holdout)}
        return Job(
            challenger=str(self._home.model(challenger)),
            champion=str(self._home.model_or_starter(champion)),
            is_trained=is_trained,
            recipe=settings.retrain,
            device=settings.device,
            memory=settings.training_memory,
            cache=round(settings.cache_gigabytes * GIGABYTE),
            min_class_clips=settings.min_class_clips,
            training=_files(clips.training),
            holdout=_files(clips.holdout),
            forgotten=self._forgotten(labelled),
            comparison=self._decisions.count_comparisons() + 1,
            rule={name: getattr(settings, name) for name in RULE},
            exact=settings.exact_frames,
            optimistic=self._why_optimistic(),
        )

    def _why_optimistic(self) -> str | None:
        """Why figures by the groups of the labelled clips are optimistic; None if they are not."""
        with self._engine.begin() as connection:
            return labelled_groups(connection).found.optimistic

    def _forgotten(self, labelled: Collection[str]) -> tuple[str, ...]:
        """The content that had a label once, and has none now: no model learns from it again."""
        query = select(videos.c.sha256).join(labels).where(videos.c.sha256.is_not(None)).distinct()
        with self._engine.begin() as connection:
            once_labelled = set(connection.execute(query).scalars())
        return tuple(sorted(once_labelled.difference(labelled)))

    def _follow(self, running: _Running, now: datetime) -> None:
        """Read the messages of the process, and note its result when it has ended."""
        # Asked before the messages are read, so that all are read when it has ended.
        has_ended = running.process.poll() is not None
        progress = None
        for message in running.messages.new():
            progress = message.get("progress", progress)
            if "verdict" in message or "error" in message:
                running.result = message
        if has_ended:
            self._conclude(running, now)
            running.messages.close()
            self._running = None
            return
        if progress and running.training:
            self._decisions.note_progress(running.training, progress)
        if now >= running.deadline and running.why_killed is None:
            limit = f"{self._settings.training_minutes:g} minutes (training_minutes)"
            running.why_killed = f"took longer than {limit}"
            running.process.kill()

    def _conclude(self, running: _Running, now: datetime) -> None:
        """Note the result of a process that has ended."""
        result = running.result or {"error": running.why_killed or self._why_failed(running)}
        if "error" in result:
            self._conclude_failed(running, result["error"], now)
            return
        reason = result["reason"]
        if result["verdict"] == "undecided" and self._trained_on:
            why = "this model or the starter was trained on them"
            reason += f" {self._trained_on} labelled clips cannot judge: {why}."
        decision = Decision(result["verdict"], reason, result["figures"])
        challenger = running.challenger
        champion = running.champion
        if self._decisions.conclude(challenger, champion, decision, now, running.training):
            log.info("%s is %s: %s", challenger, decision.verdict, decision.reason)

    def _conclude_failed(self, running: _Running, error: str, now: datetime) -> None:
        log.warning("%s: %s", running.challenger, error)
        if running.training:
            self._decisions.end(running.training, "failed", error, now)
            return
        # Without a decision, a damaged checkpoint would be compared again for ever.
        refused = Decision("refused", f"it cannot be used: {error}", {})
        self._decisions.conclude(running.challenger, running.champion, refused, now)

    def _why_failed(self, running: _Running) -> str:
        file = f"{self._home.model(running.challenger)}.run/{LOG}"
        return f"{how_it_ended(running.process)}; {file} may show why"


def names_in_use(home: Home) -> set[str]:
    """The names of models in the home that a new one must not have."""
    return {path.stem for path in home.models.glob("auto-*")}


def request(engine: Engine, home: Home, settings: Settings, now: datetime) -> str:
    """Request a training from the daemon; gives what to tell the person who wants it.

    Raises:
        VidwatchError: there are no labels.
    """
    retraining = Retraining(home, settings, Decisions(engine))
    with engine.begin() as connection:
        clips = labelled_videos(connection)
    if not clips:
        hint = "put clips into labelled/<class>/"
        raise VidwatchError(f"retrain: there are no labels to learn from; {hint}")
    return retraining.request(max(clip.label_id for clip in clips), now)


def forecast(engine: Engine, home: Home, settings: Settings) -> Forecast:
    """How near the next training is."""
    return Retraining(home, settings, Decisions(engine)).forecast()


def _files(clips: Sequence[LabelledVideo]) -> tuple[LabelledFile, ...]:
    return tuple(
        LabelledFile(os.fsdecode(clip.path), clip.class_name, clip.group, clip.sha256, clip.biased)
        for clip in clips
    )

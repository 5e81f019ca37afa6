"""Decides when to train, follows the process that does it, and notes its result.

Classification never waits for a training.
"""

import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine, select

from daemon.database.tables import labels, videos
from daemon.home.clock import is_waiting
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.labels.enough import how_to_begin
from daemon.labels.groups import labelled_groups
from daemon.training import watch
from daemon.training.choice import choose
from daemon.training.decisions import Decisions
from daemon.training.forecast import (
    RETRY_AFTER,
    UNREAD,
    Forecast,
    forecast,
    last_read_labels,
    newest_labels,
)
from daemon.training.holdout import (
    LabelledVideo,
    assign_sides,
    ever_labelled,
    labelled_videos,
)
from daemon.training.job import Job, can_judge, labelled_files, require_recipe
from daemon.training.process import LOG, Messages, Running, how_it_ended, names_in_use, start
from daemon.training.records import Decision, KnownLabels, Training
from learner.catalogue import starter_contents
from learner.errors import VidwatchError
from learner.texts import counted

log = logging.getLogger(__name__)

BY_COMMAND = "vidwatch retrain"
# For so many settle times no new label must have come before a training is considered: people
# label in bursts, and a training waits for their end. A table comes as a whole.
SETTLE_TIMES_WITHOUT_LABEL = 5
SETTLE_TIMES_AFTER_TABLE = 1
# New holdout clips after which an undecided comparison is made again, if it does not say how many
# it lacks.
MORE_TO_JUDGE = 5
RULE = ("margin", "class_loss", "new_class_recall")  # settings of the comparison


class _Clips(NamedTuple):
    """The labelled videos, by the sides of their groups."""

    training: list[LabelledVideo]
    holdout: list[LabelledVideo]
    optimistic: str | None
    """Why figures by the groups of the clips are optimistic; None if they are not."""


class Retraining:
    """Trains challengers in a process of its own. `tend` is called every few seconds.

    Raises:
        VidwatchError: the setting `retrain` names no recipe.
    """

    def __init__(
        self,
        home: Home,
        settings: Settings,
        decisions: Decisions,
        note: Callable[[str | None], None] = lambda text: None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        """Nothing is trained yet. `note` shows why none can be; one begins if `may_begin`."""
        require_recipe(settings.retrain)  # a wrong name is an error now, not at the first training
        self._home = home
        self._settings = settings
        self._decisions = decisions
        self._note = note
        self._may_begin = may_begin
        self._engine: Engine = decisions.engine
        self._running: Running | None = None
        self._newest = KnownLabels()
        self._is_pending = False  # whether labelled videos are still to be read
        # When the new labels are counted: a while after the newest label, but never later than
        # `_check_by`, although labels still come.
        self._check_at = datetime.min.replace(tzinfo=UTC)
        self._check_by = datetime.max.replace(tzinfo=UTC)

    def tend(self, now: datetime) -> None:
        """Follow the process that trains; start one if it is time to."""
        try:
            if self._running:
                self._follow(self._running, now)
                return
            if not self._may_begin():
                return
            is_time = self._is_time_to_check(now)
            if is_time:
                self._check(now)
                self._note(None)
            training = self._decisions.requested_training()
            if training and not self._running and (is_time or not self._is_pending):
                self._begin(training, now)
        except (VidwatchError, OSError) as error:
            self._note(f"none now ({error}), and is tried again")
            self._check_at = now + self._longest_wait()

    def request(self, now: datetime) -> str:
        """Request a training for a person, unless the last one knew all labels.

        Returns:
            What to tell the person.

        Raises:
            VidwatchError: it cannot be trained: there are too few labels.
        """
        with self._engine.begin() as connection:
            newest = newest_labels(connection)
        clips = self._clips(now)
        if not clips.training and not clips.holdout:
            raise VidwatchError(f"retrain: no labels to learn from: {how_to_begin(self._home)}")
        if self._decisions.last_labels().include(newest):
            return "nothing was labelled since the last training: nothing to learn"
        if self._decisions.last_labels(state="training").include(newest):
            return "a training with all labels is under way: 'vidwatch status' shows how far it is"
        # What cannot be made is refused before a process starts for it.
        champion = self._champion()
        job = self._job("not-begun", champion, clips, is_trained=False)
        choose(job, self._home.manifest(champion))
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
        unread = select(labels.c.id).join(videos).where(videos.c.state.in_(UNREAD)).limit(1)
        with self._engine.begin() as connection:
            newest = newest_labels(connection)
            self._is_pending = connection.execute(unread).first() is not None
            source = connection.scalar(select(labels.c.source).where(labels.c.id == newest.label))
        # So too if the clock was set back: else both would be far in the future.
        self._check_by = min(self._check_by, now + self._longest_wait())
        self._check_at = min(self._check_at, self._check_by)
        if newest != self._newest or self._is_pending:
            self._newest = newest
            times = SETTLE_TIMES_AFTER_TABLE if source == "csv" else SETTLE_TIMES_WITHOUT_LABEL
            pause = times * self._settings.settle_seconds
            self._check_at = min(now + timedelta(seconds=pause), self._check_by)
        return now >= self._check_at

    def _longest_wait(self) -> timedelta:
        return timedelta(minutes=self._settings.retrain_check_minutes)

    def _check(self, now: datetime) -> None:
        """Request a training if there are enough new labels, or compare an undecided one again."""
        self._check_at = now + self._longest_wait()
        self._check_by = self._check_at
        if happened := watch.tend(self._decisions, self._home, now):
            log.warning("%s", happened)
        coming = forecast(self._engine, self._home, self._settings)
        if coming.is_due and not self._is_too_early(coming, now):
            self._decisions.request_training(coming.why, now, names_in_use(self._home))
        elif row := self._decisions.undecided():
            clips = self._clips(now)
            missing = row.figures["missing"]["clips"] or MORE_TO_JUDGE
            if self._count_judging(clips.holdout) >= row.figures["able"] + missing:
                self._start(row.challenger, None, clips, now)

    def _is_too_early(self, forecast: Forecast, now: datetime) -> bool:
        """Whether a training has just failed with the same labels; then the next check is set."""
        failed_at = self._decisions.last_failure() if forecast.failed else None
        if failed_at is None or not is_waiting(now, failed_at + RETRY_AFTER, RETRY_AFTER):
            return False
        self._check_at = min(self._check_at, failed_at + RETRY_AFTER)
        return True

    def _count_judging(self, holdout: Sequence[LabelledVideo]) -> int:
        known = self._known_classes()
        return sum(can_judge(clip.class_name, known, biased=clip.biased) for clip in holdout)

    def _champion(self) -> str:
        return self._decisions.champion() or "starter"

    def _known_classes(self) -> set[str]:
        """The classes of the champion; none before the first start."""
        name = self._decisions.champion()
        return set(self._home.manifest(name)["classes"]) if name else set()

    def _begin(self, training: Training, now: datetime) -> None:
        try:
            with self._engine.begin() as connection:
                last = last_read_labels(connection)
            clips = self._clips(now)
            self._decisions.begin(training, last, now)
            self._start(training.name, training, clips, now)
        except (VidwatchError, OSError) as error:
            log.warning("%s cannot be trained: %s", training.name, error)
            self._decisions.end(training, "failed", str(error), now)
            self._check_at = now

    def _clips(self, now: datetime) -> _Clips:
        """All labelled videos; each group that has no side gets one."""
        champion = self._home.manifest(self._champion())
        trained_on = [tuple(clip) for clip in champion["trained_on"]]
        share = self._settings.holdout_share
        with self._engine.begin() as connection:
            found = labelled_groups(connection)
            clips = labelled_videos(connection, found)
        sides = assign_sides(self._engine, clips, share, trained_on, starter_contents(), now)
        return _Clips(
            training=[clip for clip in clips if sides.get(clip.group) == "training"],
            holdout=[clip for clip in clips if sides.get(clip.group) == "holdout"],
            optimistic=found.found.optimistic,
        )

    def _start(
        self, challenger: str, training: Training | None, clips: _Clips, now: datetime
    ) -> None:
        """Start the process; `training` is None if the challenger is only compared again."""
        champion = self._champion()
        job = self._job(challenger, champion, clips, is_trained=training is None)
        folder = self._home.model(challenger).with_name(f"{challenger}.run")
        self._running = Running(
            process=start(job, folder),
            messages=Messages(folder),
            training=training,
            challenger=challenger,
            champion=champion,
            deadline=time.monotonic() + 60 * self._settings.training_minutes,
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
            training=labelled_files(clips.training),
            holdout=labelled_files(clips.holdout),
            forgotten=self._forgotten(labelled),
            comparison=self._decisions.count_comparisons() + 1,
            rule={name: getattr(settings, name) for name in RULE},
            exact=settings.exact_frames,
            optimistic=clips.optimistic,
        )

    def _forgotten(self, labelled: Collection[str]) -> tuple[str, ...]:
        """The content that had a label once, and has none now: no model learns from it again."""
        with self._engine.begin() as connection:
            once_labelled = ever_labelled(connection)
        return tuple(sorted(once_labelled.difference(labelled)))

    def _follow(self, running: Running, now: datetime) -> None:
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
        if time.monotonic() >= running.deadline and running.why_killed is None:
            limit = f"{counted(self._settings.training_minutes, 'minute')} (training_minutes)"
            running.why_killed = f"took longer than {limit}"
            running.process.kill()

    def _conclude(self, running: Running, now: datetime) -> None:
        """Note the result of a process that has ended."""
        result = running.result or {"error": running.why_killed or self._why_failed(running)}
        if "error" in result:
            self._conclude_failed(running, result["error"], now, "passing" in result)
            return
        challenger = running.challenger
        champion = running.champion
        decision = Decision(result["verdict"], result["reason"], result["figures"])
        decision = self.without_loss(decision, challenger, champion)
        decision = watch.begin(decision, challenger, champion, self._home)
        if self._decisions.conclude(challenger, champion, decision, now, running.training):
            log.info("%s is %s: %s", challenger, decision.verdict, decision.reason)

    def without_loss(self, decision: Decision, challenger: str, champion: str) -> Decision:
        """The decision; a refusal if a class that it drops has been labelled again meanwhile."""
        if decision.verdict != "promoted":
            return decision
        before, after = (self._home.manifest(name)["classes"] for name in (champion, challenger))
        with self._engine.begin() as connection:
            labelled = {one.class_name for one in labelled_videos(connection)}
        back = sorted(labelled.intersection(before) - set(after))
        if not back:
            return decision
        reason = f"It does not know {', '.join(back)}, which has labels again since it was trained."
        return Decision("refused", reason, {**decision.figures, "next": "", "label": {}})

    def _conclude_failed(self, running: Running, error: str, now: datetime, passes: bool) -> None:
        log.warning("%s: %s", running.challenger, error)
        if running.training:
            self._decisions.end(running.training, "failed", error, now)
            self._check_at = now  # finds out when to try again
        elif not passes:  # else it is compared again at a later check
            # Without a decision, a damaged checkpoint would be compared again for ever.
            next_step = "Remove the model, or label more clips: then another one is trained."
            figures = {"next": next_step, "label": {}}
            refused = Decision("refused", f"it cannot be used: {error}", figures)
            self._decisions.conclude(running.challenger, running.champion, refused, now)

    def _why_failed(self, running: Running) -> str:
        file = f"{self._home.model(running.challenger)}.run/{LOG}"
        return f"{how_it_ended(running.process)}; {file} may show why"


def request(engine: Engine, home: Home, settings: Settings, now: datetime) -> str:
    """Request a training from the daemon; gives what to tell the person who wants it.

    Raises:
        VidwatchError: there are no labels, or too few to train.
    """
    return Retraining(home, settings, Decisions(engine)).request(now)

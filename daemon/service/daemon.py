"""Builds the daemon of its parts, and runs it until it is told to stop.

torch is imported last: a second daemon is refused before those seconds have passed.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.classify.filing import StoppedError
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.classify.pipelines import Pipelines
from daemon.database.connection import connect, damaged, is_damage, reason_of
from daemon.database.devices import follow_devices
from daemon.database.integrity import require_local, require_whole
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.root import follow_home
from daemon.database.sources import follow_sources
from daemon.database.upgrade import is_begun, upgrade
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.hours import WorkingHours
from daemon.home.settings import Settings
from daemon.home.source_tables import require_apart
from daemon.home.space import GIGABYTE, Space
from daemon.inbox.watcher import Watcher
from daemon.labels.groups import follow_setting
from daemon.notify.deliveries import Deliveries
from daemon.service.jobs import schedule_care, schedule_work
from daemon.service.rest import Rest
from daemon.service.schedule import Schedule
from daemon.service.stopping import Stop
from daemon.service.systemd import LoopMonitor, Notifier
from daemon.service.trouble import (
    PAUSE,
    LockWatch,
    note_unless_locked,
    patiently,
    unless_locked,
    wait_while_locked,
)
from daemon.service.watchers import patience_of, watchers
from daemon.training.decisions import Decisions
from daemon.training.process import names_in_use
from daemon.training.retraining import BY_COMMAND, Retraining
from learner.errors import PassingError
from learner.process import keep_freed_memory, usable_cores

if TYPE_CHECKING:
    from daemon.classify.champion import ChampionLoader
    from daemon.classify.predictor import Predictor

log = logging.getLogger(__name__)
Show = Callable[[Queue], None]

IDLE = 0.5  # seconds
# Seconds of silence after which a loop counts as stuck. Loading a model, and waiting for a locked
# database, take long.
SILENCE = {"work": 180.0, "inbox": 300.0, "labelled": 300.0}


def run(home: Home, settings: Settings, stop: Stop, *, once: bool, show: Show) -> None:
    """Classify what comes into the inbox until told to stop.

    Args:
        home: The home; this process becomes its one daemon.
        settings: Its settings.
        stop: Says when to stop.
        once: Stop when all that is there is done.
        show: Called several times a second, to show the state of the work.

    Raises:
        VidwatchError: the model or the database cannot be used.
        PassingError: another process has this home, or a disk is full or away.
    """
    keep_freed_memory()  # before a second thread begins, and has a heap of its own
    with suppress(StoppedError), ExitStack() as stack:
        lock = stack.enter_context(home.lock())
        lock.starts(is_starting=True)
        daemon = build(home, settings, stop, lock, stack, once=once)
        daemon.work(once=once, show=show)


@dataclass(frozen=True)
class Daemon:
    """The parts of a daemon that has been started."""

    home: Home
    stop: Stop
    lock: Lock
    queue: Queue
    loader: "ChampionLoader"
    pipeline: Pipelines
    watching: list[Watcher]
    space: Space
    rest: Rest
    schedule: Schedule
    deliveries: Deliveries
    monitor: LoopMonitor
    arrived: threading.Event
    """Set when a watcher has found something to do."""

    def work(self, *, once: bool, show: Show) -> None:
        """Work until told to stop; with `once`, until all that is there is done."""
        log.info("watching %s", self.home.inbox)
        while not self.stop.asked:
            worked = self._round(show)
            self._require_undamaged()
            self.schedule.tend()
            self.monitor.beat("work", time.monotonic())
            self.monitor.tend(time.monotonic())
            if not worked:
                if once and self._is_done():
                    break
                self.arrived.wait(IDLE)
                self.arrived.clear()
        if once:
            self.deliveries.finish(lambda: self.stop.asked)
        log.info("stopping")
        unless_locked(lambda: self.pipeline.file(now()))

    def _round(self, show: Show) -> bool:
        """One step of the pipeline, with another model if another became the champion.

        A database that cannot be written now (locked by a browser, a full disk) costs time and no
        clip.
        """
        try:
            if predictor := self.loader.predictor_if_changed(now()):
                self.pipeline.use(predictor)
                self.loader.close_old()
            worked = self.pipeline.step(now())
            show(self.queue)
            self.lock.note("database", None)
            return worked
        except StoppedError:
            return False
        except DatabaseError as error:
            if is_damage(error.orig):
                raise damaged(self.home.database, str(error.orig)) from error
            if not isinstance(error, OperationalError):
                raise
            note_unless_locked(self.lock, error)
            self.pipeline.start_over()
            time.sleep(PAUSE)
            return False

    def _require_undamaged(self) -> None:
        """A watcher tries again after an error; in a damaged database that would never help."""
        for watcher in self.watching:
            failure = watcher.failure
            if isinstance(failure, DatabaseError) and is_damage(failure.orig):
                raise damaged(self.home.database, str(failure.orig)) from failure

    def _is_done(self) -> bool:
        """Whether nothing is left to do."""
        if failure := next((one.failure for one in self.watching if one.failure), None):
            raise failure
        try:
            if not all(watcher.at_rest() for watcher in self.watching):
                return False
            if self.queue.busy():
                if not self.space.is_enough():
                    reason = "too little space is free (min_free_gigabytes)"
                    raise PassingError(f"clips stay in the inbox: {reason}")
                if why := self.rest.why:
                    raise PassingError(f"clips stay in the inbox: {why}")
                return False
            self.pipeline.settle_missing(datetime.max.replace(tzinfo=UTC))
            return True
        except OperationalError as error:
            log.warning("the database cannot be used now, trying again: %s", reason_of(error))
            return False


def build(
    home: Home, settings: Settings, stop: Stop, lock: Lock, stack: ExitStack, *, once: bool
) -> Daemon:
    """Start all parts of a daemon.

    Args:
        home: The home.
        settings: Its settings.
        stop: Asked for while the start has to wait.
        lock: The home's lock, which this process holds.
        stack: Ends the parts, the last one first.
        once: Whether the daemon only does what is there; then it trains nothing.

    Raises:
        VidwatchError: the model or the database cannot be used.
        StoppedError: it was told to stop.
    """
    require_apart(home.root, settings.source)
    notifier = Notifier.from_environment()
    monitor = LoopMonitor(notifier, SILENCE, time.monotonic())
    lock_watch = LockWatch(home.database, lock.note)
    stack.callback(lock_watch.close)
    queue = _open(home, stop, lock, lock_watch)
    stack.callback(queue.close)
    patiently(lambda: follow_setting(queue.engine, home, settings.group_pattern), stop, lock)
    deliveries = Deliveries(home, settings.receivers, lock.note)
    patiently(lambda: deliveries.follow(queue.engine), stop, lock)
    decisions = Decisions(queue.engine)
    _resume_training(home, decisions, stop, lock, once=once)
    leaves = settings.duplicates == "leave"
    predictions = Predictions(queue.engine, settings.review_share, leave_duplicates=leaves)
    loader = _loader(home, settings, predictions, decisions, lock)
    stack.callback(loader.close)
    predictor = patiently(lambda: loader.first(now()), stop, lock)
    disks = [home.root, home.root / "classified"]
    least = settings.min_free_gigabytes * GIGABYTE
    space = Space(disks, least, partial(lock.note, "disk"))
    rest = Rest(home.pause, WorkingHours.parse(settings.working_hours), lock.close_until)
    how = _pipeline_settings(home, settings, space, rest, lambda: _go_on(stop, monitor))

    def made(predictor: "Predictor", model: str | None = None) -> Pipeline:
        return Pipeline(queue, predictions, predictor, of_home, replace(how, model=model))

    own = sorted({source.model for source in settings.sources if source.model})
    of_home = settings.folders(home.root)
    patiently(lambda: follow_sources(queue.engine, of_home, now()), stop, lock)
    pipeline = Pipelines(
        made(predictor), [made(loader.of_source(name, now()), name) for name in own]
    )
    stack.callback(unless_locked, pipeline.release)
    arrived = threading.Event()

    def beat(loop: str) -> None:
        monitor.beat(loop, time.monotonic())

    watching = watchers(home, settings, queue, arrived, lock.note, beat, once=once)
    for watcher in watching:
        watcher.start()
        stack.callback(watcher.stop)
    schedule = Schedule(lock.note)
    schedule_work(schedule, home, lock, lock_watch, queue, pipeline, loader.cache.trim)
    note = partial(lock.note, "training")
    retraining = Retraining(home, settings, decisions, note, may_begin=lambda: not rest.is_on)
    stack.callback(retraining.stop)
    if not once:
        schedule_care(schedule, home, settings, lock, queue, retraining, partial(_end_if, stop))
    schedule.start()
    stack.callback(schedule.stop)
    deliveries.start()
    stack.callback(deliveries.stop)
    if settings.metrics_port:
        stack.callback(_serve_metrics(home, settings, lock, loader.champion.device))
    lock.starts(is_starting=False)
    notifier.ready()
    stack.callback(notifier.stopping)
    return Daemon(
        home=home,
        stop=stop,
        lock=lock,
        queue=queue,
        loader=loader,
        pipeline=pipeline,
        watching=watching,
        space=space,
        rest=rest,
        schedule=schedule,
        deliveries=deliveries,
        monitor=monitor,
        arrived=arrived,
    )


def _open(home: Home, stop: Stop, lock: Lock, lock_watch: LockWatch) -> Queue:
    """The queue, in a database that is whole and up to date. What was in hand is queued again."""
    if isinstance(home.database, Path):
        require_local(home.root)
    if patiently(lambda: is_begun(home.database), stop, lock):
        wait_while_locked(lock_watch, stop)
    patiently(lambda: require_whole(home.database), stop, lock)
    patiently(lambda: upgrade(home.database), stop, lock)
    queue = Queue(connect(home.database), f"{socket.gethostname()}:{os.getpid()}")
    patiently(lambda: follow_home(queue.engine, home.root), stop, lock)
    patiently(lambda: follow_devices(queue.engine), stop, lock)
    if recovered := patiently(queue.recover, stop, lock):
        log.info("queued again after a stop: %d clips", recovered)
    return queue


def _resume_training(
    home: Home, decisions: Decisions, stop: Stop, lock: Lock, *, once: bool
) -> None:
    """A training that ended with the daemon before is asked for again, if a person had asked."""
    reasons = patiently(lambda: decisions.stop_all(now()), stop, lock)
    if BY_COMMAND in reasons and not once:
        names = names_in_use(home)
        patiently(lambda: decisions.request_training(BY_COMMAND, now(), names), stop, lock)


def _loader(
    home: Home, settings: Settings, predictions: Predictions, decisions: Decisions, lock: Lock
) -> "ChampionLoader":
    from daemon.classify.champion import ChampionLoader

    return ChampionLoader(home, settings, predictions, decisions, lock.note)


def _pipeline_settings(
    home: Home, settings: Settings, space: Space, rest: Rest, progress: Callable[[], None]
) -> PipelineSettings:
    return PipelineSettings(
        batch_size=settings.batch_size,
        grace=timedelta(seconds=settings.rescan_seconds + 2 * settings.settle_seconds),
        patience=timedelta(seconds=patience_of(settings)),
        inbox_is_there=lambda: home.why_no_inbox() is None,
        may_begin=lambda: not rest.is_on and space.is_enough(),
        may_go_on=lambda: not rest.is_on,
        progress=progress,
        drop_duplicates=settings.duplicates == "drop",
    )


def _serve_metrics(
    home: Home, settings: Settings, lock: Lock, device: object
) -> Callable[[], None]:
    from daemon.report.metrics import Worker
    from daemon.service.metrics import serve_metrics

    worker = Worker(str(device), settings.decoders or usable_cores(), lock.running.since)
    return serve_metrics(home, settings.metrics_port, worker, partial(lock.note, "metrics"))


def _go_on(stop: Stop, monitor: LoopMonitor) -> None:
    """Called during long work: it goes on, unless it was told to stop."""
    monitor.beat("work", time.monotonic())
    monitor.tend(time.monotonic())
    _end_if(stop)


def _end_if(stop: Stop) -> None:
    if stop.asked:
        raise StoppedError

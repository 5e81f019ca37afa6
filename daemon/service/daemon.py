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
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.classify.filing import StoppedError
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.classify.pipelines import Pipelines
from daemon.database.connection import connect, explaining
from daemon.database.devices import follow_devices
from daemon.database.integrity import require_local, require_whole
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.root import follow_home
from daemon.database.session import Session
from daemon.database.upgrade import is_begun, upgrade
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.hours import WorkingHours
from daemon.home.machine import machine_name
from daemon.home.settings import Settings
from daemon.home.source_tables import require_apart
from daemon.home.space import GIGABYTE, Space
from daemon.service.jobs import schedule_work
from daemon.service.lead import Common, lead
from daemon.service.leading import Leading
from daemon.service.membership import Membership, joined
from daemon.service.rest import Rest
from daemon.service.rounds import SILENCE, Daemon, Show
from daemon.service.schedule import Schedule
from daemon.service.stopping import Stop
from daemon.service.systemd import LoopMonitor, Notifier
from daemon.service.trouble import (
    LockWatch,
    patiently,
    unless_locked,
    wait_while_locked,
)
from daemon.service.watchers import patience_of
from daemon.training.decisions import Decisions
from learner.process import keep_freed_memory, let_go_of_code, usable_cores
from learner.texts import counted

if TYPE_CHECKING:
    from daemon.classify.champion import ChampionLoader
    from daemon.classify.predictor import Predictor

log = logging.getLogger(__name__)


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
        with explaining(home.database):
            daemon = build(home, settings, stop, lock, stack, once=once)
        daemon.work(once=once, show=show)


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
    session = joined(home, stop, lock, stack)
    queue = _open(home, stop, lock, lock_watch)
    stack.callback(queue.close)
    membership = Membership(home, lock, queue) if session else None
    if membership:
        stack.callback(unless_locked, membership.leave)
        patiently(lambda: membership.tend(now()), stop, lock)
    decisions = Decisions(queue.engine)
    leaves = settings.duplicates == "leave"
    predictions = Predictions(
        queue.engine, settings.review_share, leave_duplicates=leaves, owner=queue.owner
    )
    loader = _loader(home, settings, predictions, decisions, lock, session)
    stack.callback(loader.close)
    predictor = patiently(lambda: loader.first(now()), stop, lock)
    lock.runs_on(loader.in_use()[1])
    disks = [home.root, home.root / "classified"]
    least = settings.min_free_gigabytes * GIGABYTE
    space = Space(disks, least, partial(lock.note, "disk"))
    rest = Rest(home.pause, WorkingHours.parse(settings.working_hours), lock.close_until)
    is_mounted = membership.is_mounted if membership else lambda: True
    leading = Leading(session, lambda stack: lead(common, leading.may, stack), is_mounted)
    how = PipelineSettings(
        batch_size=settings.batch_size,
        grace=settings.grace,
        patience=timedelta(seconds=patience_of(settings)),
        inbox_is_there=lambda: is_mounted() and home.why_no_inbox() is None,
        may_begin=lambda: not rest.is_on and space.is_enough() and is_mounted(),
        may_file=leading.may,
        may_go_on=lambda: not rest.is_on,
        progress=lambda: _go_on(stop, monitor),
        drop_duplicates=settings.duplicates == "drop",
    )

    def made(predictor: "Predictor", model: str | None = None) -> Pipeline:
        return Pipeline(queue, predictions, predictor, of_home, replace(how, model=model))

    own = sorted({source.model for source in settings.sources if source.model})
    of_home = settings.folders(home.root)
    pipeline = Pipelines(
        made(predictor), [made(loader.of_source(name, now()), name) for name in own]
    )
    stack.callback(unless_locked, pipeline.release)
    arrived = threading.Event()
    common = Common(
        home=home,
        settings=settings,
        stop=stop,
        lock=lock,
        queue=queue,
        decisions=decisions,
        pipeline=pipeline,
        rest=rest,
        monitor=monitor,
        arrived=arrived,
        once=once,
    )
    schedule = Schedule(lock.note)
    if membership:
        membership.works(loader.in_use, leading)
    schedule_work(schedule, home, lock, lock_watch, queue, loader.cache.trim, membership)
    stack.callback(leading.stop)
    leading.tend()
    schedule.start()
    stack.callback(schedule.stop)
    if settings.metrics_port:
        stack.callback(_serve_metrics(home, settings, lock, loader.champion.device))
    let_go_of_code()
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
        leading=leading,
        membership=membership,
        space=space,
        rest=rest,
        schedule=schedule,
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
    machine = machine_name() if isinstance(home.database, Server) else None
    owner = f"{machine or socket.gethostname()}:{os.getpid()}"
    queue = Queue(connect(home.database), owner, machine)
    patiently(lambda: follow_home(queue.engine, home.root), stop, lock)
    if machine is None:
        patiently(lambda: follow_devices(queue.engine), stop, lock)
    if recovered := patiently(queue.recover, stop, lock):
        log.info("queued again after a stop: %s", counted(recovered, "clip"))
    return queue


def _loader(
    home: Home,
    settings: Settings,
    predictions: Predictions,
    decisions: Decisions,
    lock: Lock,
    session: Session | None,
) -> "ChampionLoader":
    from daemon.classify.champion import ChampionLoader

    may_roll_back = session.leads if session else lambda: True
    return ChampionLoader(home, settings, predictions, decisions, lock.note, may_roll_back)


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
    if stop.asked:
        raise StoppedError

"""Introduces the daemon's parts to each other, and runs them until it is told to stop.

torch is imported last: a second daemon is refused before those seconds have passed.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.classify.pipeline import Engine, Pipeline, StoppedError
from daemon.database.connection import SAFE, connect, is_damage, is_locked, is_passing
from daemon.database.files import follow_home
from daemon.database.integrity import require_whole
from daemon.database.queue import Store
from daemon.database.upgrade import upgrade
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.folders import Folders
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE, Space
from daemon.inbox.watcher import Watcher
from daemon.maintenance.backup import Backups
from daemon.maintenance.retention import Retention
from daemon.service.schedule import Schedule
from daemon.service.stopping import Stop
from daemon.service.systemd import Heart, Notifier
from daemon.service.watchers import watchers
from daemon.training.decisions import History
from daemon.training.retraining import BY_COMMAND, Retraining, taken
from learner.cache import Cache
from learner.errors import PassingError, VidwatchError
from learner.process import keep_freed_memory

if TYPE_CHECKING:
    from daemon.classify.champion import Engines

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE = 0.5  # all in seconds
PAUSE = 2
TENDING = timedelta(seconds=2)
RENEWAL = timedelta(minutes=1)
TRIMMING = timedelta(minutes=10)
BACKUP_CHECK = timedelta(minutes=1)
RETENTION = timedelta(hours=6)
# A file that is cut short may still be on its way, if it was changed a moment ago: so many settle times.
PATIENCE = 15
LONGEST_PATIENCE = 240
# What may be silent for how long before it counts as stuck: a model is loaded, a locked database waited for.
SILENCE = {"work": 180.0, "inbox": 300.0, "labelled": 300.0}


def run(
    home: Home, settings: Settings, stop: Stop, *, once: bool, tell: Callable[[Store], None]
) -> None:
    """Classify what comes into the inbox until told to stop; with `once`, until what is there is worked off.

    `tell` is called several times a second, to show how it goes.

    Raises:
        VidwatchError: the model or the database cannot be used.
        PassingError: another process has this home, or a disk is full or away.
    """
    keep_freed_memory()  # before there is a second thread, and a heap for it
    with suppress(StoppedError), ExitStack() as stack:
        lock = stack.enter_context(home.lock())
        service = Notifier.from_environment()
        heart = Heart(service, SILENCE, time.monotonic())
        store = _open(home, settings, stop, lock)
        stack.callback(store.close)
        history = History(store.engine)
        if BY_COMMAND in _patiently(lambda: history.stop_all(now()), stop, lock) and not once:
            _patiently(lambda: history.ask(BY_COMMAND, now(), taken(home)), stop, lock)
        engines = _engines(home, settings, store, history)
        stack.callback(engines.close)
        engine = _patiently(lambda: engines.first(now()), stop, lock)
        disks, least = [home.root, home.root / "classified"], settings.min_free_gigabytes * GIGABYTE
        space = Space(disks, least, partial(lock.note, "disk"))
        pipeline = _pipeline(home, settings, store, engine, space, lambda: _go_on(stop, heart))
        stack.callback(_calmly, pipeline.release)
        arrived = threading.Event()
        watching = watchers(
            home,
            settings,
            store,
            arrived,
            lock.note,
            lambda loop: heart.beat(loop, time.monotonic()),
        )
        for watcher in watching:
            watcher.start()
            stack.callback(watcher.stop)
        retraining = Retraining(home, settings, history)
        stack.callback(retraining.stop)
        schedule = _schedule(store, pipeline, engines.cache)
        schedule.every(TENDING, lambda: lock.note("inbox", home.why_no_inbox()))
        if not once:
            _schedule_care(schedule, home, settings, lock, store, retraining)
        schedule.start()
        stack.callback(schedule.stop)
        service.ready()
        stack.callback(service.stopping)
        log.info("watching %s", home.inbox)
        while not stop.asked:
            worked = _round(pipeline, engines, store, lock, tell)
            _require_undamaged(watching)
            schedule.follow_the_clock()
            heart.beat("work", time.monotonic())
            heart.tend(time.monotonic())
            if not worked:
                if once and _is_worked_off(pipeline, store, watching, space):
                    break
                arrived.wait(IDLE)
                arrived.clear()
        log.info("stopping")
        _calmly(lambda: pipeline.file(now()))


def _open(home: Home, settings: Settings, stop: Stop, lock: Lock) -> Store:
    """The database, whole and up to date, with what was in hand put back into the queue."""
    _patiently(lambda: require_whole(home.database), stop, lock)
    _patiently(lambda: upgrade(home.database), stop, lock)
    store = Store(
        connect(home.database), f"{socket.gethostname()}:{os.getpid()}", settings.review_share
    )
    _patiently(lambda: follow_home(store.engine, home.root), stop, lock)
    if recovered := _patiently(store.recover, stop, lock):
        log.info("taken up again after a stop: %d clips", recovered)
    return store


def _round(
    pipeline: Pipeline, engines: "Engines", store: Store, lock: Lock, tell: Callable[[Store], None]
) -> bool:
    """One step, with another model where one took over.

    A database that cannot be written now (locked by a browser, a full disk) costs time and no clip.
    """
    try:
        if engine := engines.changed(now()):
            pipeline.use(engine)
            engines.close_old()
        worked = pipeline.step(now())
        tell(store)
        lock.note("database", None)
        return worked
    except StoppedError:
        return False
    except DatabaseError as error:
        if is_damage(error.orig):
            raise VidwatchError(f"the database is damaged ({error.orig}): {SAFE}") from error
        if not isinstance(error, OperationalError):
            raise
        lock.note("database", f"cannot be used now, and is tried again ({error.orig})")
        pipeline.start_over()
        time.sleep(PAUSE)
        return False


def _require_undamaged(watching: list[Watcher]) -> None:
    """To try again would not mend it."""
    for failure in [watcher.failure for watcher in watching]:
        if isinstance(failure, DatabaseError) and is_damage(failure.orig):
            raise VidwatchError(f"the database is damaged ({failure.orig}): {SAFE}") from failure


def _is_worked_off(pipeline: Pipeline, store: Store, watching: list[Watcher], space: Space) -> bool:
    if failure := next((watcher.failure for watcher in watching if watcher.failure), None):
        raise failure
    try:
        if not all(watcher.at_rest() for watcher in watching):
            return False
        if store.busy():
            if not space.is_enough():
                raise PassingError(
                    "clips stay in the inbox: too little space is free (min_free_gigabytes)"
                )
            return False
        pipeline.settle_missing(datetime.max.replace(tzinfo=UTC))
        return True
    except OperationalError as error:
        log.warning("the database cannot be used now, trying again: %s", error.orig)
        return False


def _patiently(begin: Callable[[], T], stop: Stop, lock: Lock) -> T:
    """What has to be done at the start: while the database is locked or its disk is full, it is tried again.

    Of what else may pass (it cannot be opened, or written) nobody knows when: a later start tries that.
    """
    while not stop.asked:
        try:
            result = begin()
        except OperationalError as error:
            if not is_passing(error):
                raise PassingError(f"the database cannot be used: {error.orig}") from error
            lock.note("database", f"cannot be used now, and is tried again ({error.orig})")
            time.sleep(0 if is_locked(error) else PAUSE)
        else:
            lock.note("database", None)
            return result
    raise StoppedError


def _calmly(change: Callable[[], object]) -> None:
    """A change of state that the next round, or the next start, makes as well."""
    try:
        change()
    except OperationalError as error:
        log.warning("the database cannot be used now: %s", error.orig)


def _go_on(stop: Stop, heart: Heart) -> None:
    """Within what takes long: it goes on, unless it is to stop."""
    heart.beat("work", time.monotonic())
    heart.tend(time.monotonic())
    if stop.asked:
        raise StoppedError


def _engines(home: Home, settings: Settings, store: Store, history: History) -> "Engines":
    from daemon.classify.champion import Engines

    return Engines(home, settings, store, history)


def _pipeline(
    home: Home,
    settings: Settings,
    store: Store,
    engine: Engine,
    space: Space,
    progress: Callable[[], None],
) -> Pipeline:
    return Pipeline(
        store,
        engine,
        Folders(home.root),
        batch_size=settings.batch_size,
        grace=timedelta(seconds=settings.rescan_seconds + 2 * settings.settle_seconds),
        patience=timedelta(seconds=min(PATIENCE * settings.settle_seconds, LONGEST_PATIENCE)),
        inbox_is_there=lambda: home.why_no_inbox() is None,
        may_begin=space.is_enough,
        progress=progress,
    )


def _schedule(store: Store, pipeline: Pipeline, cache: Cache) -> Schedule:
    schedule = Schedule()
    schedule.every(TENDING, lambda: _calmly(lambda: pipeline.settle_missing(now())))
    schedule.every(RENEWAL, lambda: _calmly(lambda: store.renew_leases(now())))
    schedule.every(TRIMMING, cache.trim)
    return schedule


def _schedule_care(
    schedule: Schedule,
    home: Home,
    settings: Settings,
    lock: Lock,
    store: Store,
    retraining: Retraining,
) -> None:
    """What a daemon that runs for years does besides."""
    backups = Backups(home, settings, partial(lock.note, "backup"))
    retention = Retention(
        home, store.engine, settings, backups.make, partial(lock.note, "retention")
    )
    schedule.every(TENDING, lambda: _calmly(lambda: retraining.tend(now())))
    schedule.every(BACKUP_CHECK, lambda: _calmly(lambda: backups.tend(now())))
    schedule.every(RETENTION, lambda: _calmly(lambda: retention.tend(now())))

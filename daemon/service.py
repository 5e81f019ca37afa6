"""Introduces the daemon's parts to each other, and runs them until it is told to stop.

torch is imported last: a second daemon is refused before those seconds have passed.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import OperationalError

from daemon.filing import Folders
from daemon.history import History
from daemon.home import Home
from daemon.identity import Identity
from daemon.labels import Labels
from daemon.pipeline import Engine, Pipeline
from daemon.retraining import BY_COMMAND, Retraining, taken
from daemon.settings import Settings
from daemon.stopping import Stop
from daemon.store import Arrival, Store, connect, is_locked
from daemon.upgrade import upgrade
from daemon.watcher import Watcher
from learner.cache import Cache
from learner.errors import VidwatchError
from learner.groups import compile_pattern, group_of

if TYPE_CHECKING:
    from daemon.engine import Engines

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE = 0.5  # all in seconds
PAUSE = 2
TENDING = 2
RENEWAL = 60
TRIMMING = 600


def run(home: Home, settings: Settings, stop: Stop, *, once: bool, tell: Callable[[Store], None]) -> None:
    """Classify what comes into the inbox until told to stop; with `once`, until what is there is worked off.

    `tell` is called several times a second, to show how it goes.

    Raises:
        VidwatchError: another daemon has this home, or the model or the database cannot be used.
    """
    with ExitStack() as stack:
        stack.enter_context(home.lock())
        _patiently(lambda: upgrade(home.database), stop)
        store = Store(connect(home.database), f"{socket.gethostname()}:{os.getpid()}", settings.review_share)
        stack.callback(store.close)
        if recovered := _patiently(store.recover, stop):
            log.info("taken up again after a stop: %d clips", recovered)
        history = History(store.engine)
        if BY_COMMAND in _patiently(lambda: history.stop_all(_now()), stop) and not once:
            _patiently(lambda: history.ask(BY_COMMAND, _now(), taken(home)), stop)
        engines = _engines(home, settings, store, history)
        stack.callback(engines.close)
        engine = _patiently(lambda: engines.first(_now()), stop)
        if stop.asked:
            return
        pipeline = _pipeline(home, settings, store, engine)
        stack.callback(_calmly, pipeline.release)
        arrived = threading.Event()
        watchers = [_inbox_watcher(home, settings, store, arrived), _label_watcher(home, settings, store, arrived)]
        for watcher in watchers:
            watcher.start()
            stack.callback(watcher.stop)
        retraining = Retraining(home, settings, history)
        stack.callback(retraining.stop)
        stack.enter_context(_jobs(store, pipeline, engines.cache, None if once else retraining))
        log.info("watching %s", home.inbox)
        while not stop.asked:
            worked = _round(pipeline, engines, store, tell)
            for watcher in watchers:
                if watcher.death:
                    raise watcher.death
            if not worked:
                if once and _is_worked_off(pipeline, store, watchers):
                    break
                arrived.wait(IDLE)
                arrived.clear()
        log.info("stopping")


def _round(pipeline: Pipeline, engines: "Engines", store: Store, tell: Callable[[Store], None]) -> bool:
    """One step, with another model where one took over.

    A database that cannot be written now (locked by a browser, a full disk) costs time and no clip.
    """
    try:
        if engine := engines.changed(_now()):
            pipeline.use(engine)
            engines.close_old()
        worked = pipeline.step(_now())
        tell(store)
        return worked
    except OperationalError as error:
        log.warning("the database cannot be used now, trying again: %s", error.orig)
        pipeline.start_over()
        time.sleep(PAUSE)
        return False


def _is_worked_off(pipeline: Pipeline, store: Store, watchers: list[Watcher]) -> bool:
    try:
        if store.busy() or not all(watcher.at_rest() for watcher in watchers) or store.busy():
            return False
        pipeline.settle_missing(datetime.max.replace(tzinfo=UTC))
        return True
    except OperationalError as error:
        log.warning("the database cannot be used now, trying again: %s", error.orig)
        return False


def _patiently(begin: Callable[[], T], stop: Stop) -> T:
    """What has to be done at the start: while another program has the database locked, it is tried again."""
    while True:
        try:
            return begin()
        except OperationalError as error:
            if stop.asked or not is_locked(error):
                raise VidwatchError(f"the database cannot be used: {error.orig}") from error
            log.warning("the database is locked: waiting for the program that has it open")


def _calmly(change: Callable[[], None]) -> None:
    """A change of state that the next round, or the next start, makes as well."""
    try:
        change()
    except OperationalError as error:
        log.warning("the database cannot be used now: %s", error.orig)


def _engines(home: Home, settings: Settings, store: Store, history: History) -> "Engines":
    from daemon.engine import Engines

    return Engines(home, settings, store, history)


def _pipeline(home: Home, settings: Settings, store: Store, engine: Engine) -> Pipeline:
    inbox = home.inbox.resolve()
    was_mounted = inbox.is_mount()

    def inbox_is_there() -> bool:
        return inbox.is_mount() if was_mounted else inbox.is_dir()

    return Pipeline(
        store,
        engine,
        Folders(home.root),
        batch_size=settings.batch_size,
        grace=timedelta(seconds=settings.rescan_seconds + 2 * settings.settle_seconds),
        inbox_is_there=inbox_is_there,
    )


def _inbox_watcher(home: Home, settings: Settings, store: Store, arrived: threading.Event) -> Watcher:
    inbox, pattern = os.fsencode(home.inbox), compile_pattern(settings.group_pattern)

    def enqueue(files: list[tuple[bytes, Identity]]) -> None:
        arrivals = [Arrival(path, identity, _group(path[len(inbox) + 1 :], pattern)) for path, identity in files]
        if store.enqueue(arrivals, _now()):
            arrived.set()

    return Watcher(
        [inbox],
        settle=settings.settle_seconds,
        rescan=settings.rescan_seconds,
        unknown=store.unknown,
        take=enqueue,
        trouble=OperationalError,
        on_death=arrived.set,
    )


def _label_watcher(home: Home, settings: Settings, store: Store, arrived: threading.Event) -> Watcher:
    folders = [os.fsencode(home.root / name) for name in ("labelled", "classified")]
    labels, pattern = Labels(store.engine, Folders(home.root)), compile_pattern(settings.group_pattern)

    def notice(files: list[tuple[bytes, Identity]]) -> None:
        root = len(os.fsencode(home.root)) + 1
        found = [
            # Below its class folder, as below the inbox, a folder is a group.
            (path, identity, _group(b"/".join(path[root:].split(b"/")[2:]), pattern))
            for path, identity in files
        ]
        if labels.notice(found, _now()):
            arrived.set()

    return Watcher(
        folders,
        settle=settings.settle_seconds,
        rescan=settings.rescan_seconds,
        unknown=labels.unexplained,
        take=notice,
        trouble=OperationalError,
        on_death=arrived.set,
    )


def _group(path: bytes, pattern: re.Pattern[str]) -> str | None:
    *folders, name = path.decode("utf-8", "backslashreplace").split("/")
    return group_of(name, folders, pattern)


@contextmanager
def _jobs(store: Store, pipeline: Pipeline, cache: Cache, retraining: Retraining | None) -> Iterator[None]:
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    scheduler.add_job(lambda: _calmly(lambda: pipeline.settle_missing(_now())), "interval", seconds=TENDING)
    scheduler.add_job(lambda: _calmly(lambda: store.renew_leases(_now())), "interval", seconds=RENEWAL)
    if retraining:
        scheduler.add_job(lambda: _calmly(lambda: retraining.tend(_now())), "interval", seconds=TENDING)
    scheduler.add_job(cache.trim, "interval", seconds=TRIMMING)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown()


def _now() -> datetime:
    return datetime.now(UTC)

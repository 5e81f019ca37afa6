"""Introduces the daemon's parts to each other, and runs them until it is told to stop.

torch is imported last: a second daemon is refused before those seconds have passed.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import OperationalError

from daemon.decoding import Decoders
from daemon.filing import Folders
from daemon.home import Home
from daemon.identity import Identity
from daemon.pipeline import BusyError, Pipeline
from daemon.settings import Settings
from daemon.stopping import Stop
from daemon.store import Arrival, Store, connect, is_locked
from daemon.upgrade import upgrade
from daemon.watcher import Watcher
from learner.errors import VidwatchError
from learner.groups import compile_pattern, group_of
from learner.video import Clip

if TYPE_CHECKING:
    from learner.classifier import Classifier, Prediction

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE = 0.5  # all in seconds
PAUSE = 2
TENDING = 2
RENEWAL = 60


def run(home: Home, settings: Settings, stop: Stop, *, once: bool, tell: Callable[[Store], None]) -> None:
    """Classify what comes into the inbox until told to stop; with `once`, until what is there is worked off.

    `tell` is called several times a second, to show how it goes.

    Raises:
        VidwatchError: another daemon has this home, or the model or the database cannot be used.
    """
    with ExitStack() as stack:
        stack.enter_context(home.lock())
        _patiently(lambda: upgrade(home.database), stop)
        store = Store(connect(home.database), owner=f"{socket.gethostname()}:{os.getpid()}")
        stack.callback(store.close)
        if recovered := _patiently(store.recover, stop):
            log.info("taken up again after a stop: %d clips", recovered)
        classifier = _load(home, settings)
        if stop.asked:
            return
        decoders = Decoders(classifier.spec, settings.decoders or os.cpu_count() or 1, settings.decode_seconds)
        stack.callback(decoders.close)
        pipeline = _patiently(lambda: _pipeline(home, settings, store, decoders, classifier), stop)
        stack.callback(_calmly, pipeline.release)
        arrived = threading.Event()
        watcher = _watcher(home, settings, store, arrived)
        watcher.start()
        stack.callback(watcher.stop)
        stack.enter_context(_jobs(store, pipeline))
        log.info("watching %s with model %s on %s", home.inbox, classifier.name, classifier.device)
        while not stop.asked:
            worked = _round(pipeline, store, tell)
            if watcher.death:
                raise watcher.death
            if not worked:
                if once and _is_worked_off(pipeline, store, watcher):
                    break
                arrived.wait(IDLE)
                arrived.clear()
        log.info("stopping")


def _round(pipeline: Pipeline, store: Store, tell: Callable[[Store], None]) -> bool:
    """One step. A database that cannot be written now (locked by a browser, a full disk) costs time and no clip."""
    try:
        worked = pipeline.step(_now())
        tell(store)
        return worked
    except OperationalError as error:
        log.warning("the database cannot be used now, trying again: %s", error.orig)
        pipeline.start_over()
        time.sleep(PAUSE)
        return False


def _is_worked_off(pipeline: Pipeline, store: Store, watcher: Watcher) -> bool:
    try:
        if not watcher.at_rest() or store.busy():
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


def _pipeline(home: Home, settings: Settings, store: Store, decoders: Decoders, classifier: "Classifier") -> Pipeline:
    names = (classifier.name, classifier.digest, classifier.classes, classifier.manifest.measured)
    inbox = home.inbox.resolve()
    was_mounted = inbox.is_mount()

    def inbox_is_there() -> bool:
        return inbox.is_mount() if was_mounted else inbox.is_dir()

    return Pipeline(
        store,
        decoders,
        _classify_with(classifier),
        Folders(home.root),
        model_id=store.register_model(*names, _now()),
        batch_size=settings.batch_size,
        grace=timedelta(seconds=settings.rescan_seconds + 2 * settings.settle_seconds),
        inbox_is_there=inbox_is_there,
    )


def _watcher(home: Home, settings: Settings, store: Store, arrived: threading.Event) -> Watcher:
    inbox, pattern = os.fsencode(home.inbox), compile_pattern(settings.group_pattern)

    def enqueue(files: list[tuple[bytes, Identity]]) -> None:
        arrivals = [Arrival(path, identity, _group(path, inbox, pattern)) for path, identity in files]
        if store.enqueue(arrivals, _now()):
            arrived.set()

    return Watcher(
        inbox,
        settle=settings.settle_seconds,
        rescan=settings.rescan_seconds,
        unfinished=store.unfinished,
        enqueue=enqueue,
        trouble=OperationalError,
        on_death=arrived.set,
    )


def _group(path: bytes, inbox: bytes, pattern: re.Pattern[str]) -> str | None:
    *folders, name = path[len(inbox) + 1 :].decode("utf-8", "backslashreplace").split("/")
    return group_of(name, folders, pattern)


@contextmanager
def _jobs(store: Store, pipeline: Pipeline) -> Iterator[None]:
    scheduler = BackgroundScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    scheduler.add_job(lambda: _calmly(lambda: pipeline.settle_missing(_now())), "interval", seconds=TENDING)
    scheduler.add_job(lambda: _calmly(lambda: store.renew_leases(_now())), "interval", seconds=RENEWAL)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown()


def _load(home: Home, settings: Settings) -> "Classifier":
    import torch

    from learner.classifier import Classifier

    if settings.device == "cuda" and not torch.cuda.is_available():
        raise VidwatchError("setting 'device' is 'cuda', but this machine has no usable GPU; set it to 'auto' or 'cpu'")
    path = None if settings.model == "starter" else home.model(settings.model)
    try:
        return Classifier.load(path, None if settings.device == "auto" else settings.device)
    except VidwatchError as error:
        raise VidwatchError(f"setting 'model' is {settings.model!r}: {error}; 'vidwatch models' lists them") from error


def _classify_with(classifier: "Classifier") -> "Callable[[Sequence[Clip]], list[Prediction]]":
    import torch

    def classify(clips: Sequence[Clip]) -> "list[Prediction]":
        try:
            return classifier.predict(np.stack([clip.frames for clip in clips]))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(clips) == 1:
                raise BusyError("the device is out of memory") from error
        half = len(clips) // 2
        return classify(clips[:half]) + classify(clips[half:])

    return classify


def _now() -> datetime:
    return datetime.now(UTC)

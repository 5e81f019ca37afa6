"""Introduces the daemon's parts to each other, and runs them until it is told to stop.

torch is imported last: a signal is heeded and a second daemon is refused before those seconds have passed.
"""

import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from apscheduler.schedulers.background import BackgroundScheduler

from daemon.decoding import Decoders
from daemon.filing import Folders
from daemon.home import Home
from daemon.identity import Identity, identify
from daemon.pipeline import BusyError, Pipeline
from daemon.settings import Settings
from daemon.store import Arrival, Store, connect
from daemon.upgrade import upgrade
from daemon.watcher import Watcher
from learner.errors import VidwatchError
from learner.groups import compile_pattern, group_of
from learner.video import Clip

if TYPE_CHECKING:
    from learner.classifier import Classifier, Prediction

log = logging.getLogger(__name__)

IDLE = 0.5
RENEWAL = 60


class Stop:
    """A flag that signals set: the batch in hand is finished, the rest waits. The second one ends the process."""

    def __init__(self) -> None:
        self.asked = False

    def install(self) -> None:
        """Take over SIGTERM and Ctrl-C."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _: Any) -> None:
        self.asked = True
        signal.signal(number, signal.SIG_DFL)


def run(home: Home, settings: Settings, *, once: bool, tell: Callable[[Store], None]) -> None:
    """Classify what comes into the inbox until a signal; with `once`, until what is there is worked off.

    `tell` is called several times a second, to show how it goes.

    Raises:
        VidwatchError: another daemon has this home, or the model or the database cannot be used.
    """
    stop = Stop()
    stop.install()
    with ExitStack() as stack:
        stack.enter_context(home.lock())
        upgrade(home.database)
        store = Store(connect(home.database), owner=f"{socket.gethostname()}:{home.root}")
        stack.callback(store.close)
        if recovered := store.recover(_now()):
            log.info("taken up again after a stop: %d clips", recovered)
        classifier = _load(home, settings)
        names = (classifier.name, classifier.digest, classifier.classes, classifier.manifest.measured)
        model_id = store.register_model(*names, _now())
        decoders = Decoders(classifier.spec, settings.decoders or os.cpu_count() or 1, settings.decode_seconds)
        stack.callback(decoders.close)
        pipeline = Pipeline(
            store, decoders, _classify_with(classifier), Folders(home.root), model_id, settings.batch_size
        )
        stack.callback(pipeline.release)
        pipeline.file_all(_now())
        arrived = threading.Event()
        watcher = _watcher(home, settings, store, arrived)
        watcher.start()
        stack.callback(watcher.stop)
        stack.enter_context(_jobs(settings, store, watcher))
        log.info("watching %s with model %s on %s", home.inbox, classifier.name, classifier.device)
        while not stop.asked:
            worked = pipeline.step(_now())
            tell(store)
            if watcher.death:
                raise watcher.death
            if not worked:
                if once and watcher.at_rest() and not store.busy():
                    break
                arrived.wait(IDLE)
                arrived.clear()
        log.info("stopping")


def _watcher(home: Home, settings: Settings, store: Store, arrived: threading.Event) -> Watcher:
    inbox, pattern = os.fsencode(home.inbox), compile_pattern(settings.group_pattern)

    def enqueue(files: list[tuple[bytes, Identity]]) -> None:
        arrivals = [Arrival(path, identity, _group(path, inbox, pattern)) for path, identity in files]
        if store.enqueue(arrivals, _now()):
            arrived.set()

    return Watcher(inbox, settings.settle_seconds, store.unfinished, enqueue, arrived.set)


def _group(path: bytes, inbox: bytes, pattern: re.Pattern[str]) -> str | None:
    *folders, name = path[len(inbox) + 1 :].decode("utf-8", "backslashreplace").split("/")
    return group_of(name, folders, pattern)


@contextmanager
def _jobs(settings: Settings, store: Store, watcher: Watcher) -> Iterator[None]:
    def tend() -> None:
        watcher.request_search()
        for video_id, path in store.abandoned():
            if identify(path) is None:
                store.fail(video_id, "vanished while it was being written", None, _now())

    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    scheduler = BackgroundScheduler(timezone=UTC, job_defaults=defaults)
    scheduler.add_job(tend, "interval", seconds=settings.rescan_seconds)
    scheduler.add_job(lambda: store.renew_leases(_now()), "interval", seconds=RENEWAL)
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
    path = None if settings.model == "starter" else home.models / settings.model
    return Classifier.load(path, None if settings.device == "auto" else settings.device)


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

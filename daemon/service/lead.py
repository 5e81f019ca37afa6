"""Starts what only the daemon that leads does: watching, training, cleaning, deliveries."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from daemon.classify.filing import StoppedError
from daemon.classify.pipelines import Pipelines
from daemon.database.queue import Queue
from daemon.database.sources import follow_sources
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.settings import Settings
from daemon.labels.groups import follow_setting
from daemon.notify.deliveries import Deliveries
from daemon.service.jobs import schedule_care, schedule_following
from daemon.service.leading import Led
from daemon.service.rest import Rest
from daemon.service.schedule import Schedule
from daemon.service.stopping import Stop
from daemon.service.systemd import LoopMonitor
from daemon.service.trouble import patiently
from daemon.service.watchers import watchers
from daemon.training.decisions import Decisions
from daemon.training.process import names_in_use
from daemon.training.retraining import BY_COMMAND, Retraining


@dataclass(frozen=True)
class Common:
    """What each daemon has, and the one that leads needs."""

    home: Home
    settings: Settings
    stop: Stop
    lock: Lock
    queue: Queue
    decisions: Decisions
    pipeline: Pipelines
    rest: Rest
    monitor: LoopMonitor
    arrived: threading.Event
    """Set when a watcher has found something to do."""
    once: bool
    """Whether the daemon only does what is there; then it trains nothing."""


def lead(common: Common, leads: Callable[[], bool], stack: ExitStack) -> Led:
    """Start the parts of the daemon that leads.

    Args:
        common: What each daemon has.
        leads: Whether this daemon leads still.
        stack: Ends the parts, the last one first.

    Raises:
        StoppedError: the daemon was told to stop.
    """
    home = common.home
    settings = common.settings
    lock = common.lock
    note = _Notes(common)
    stack.callback(note.forget)
    engine = common.queue.engine
    again = partial(patiently, stop=common.stop, lock=lock)
    again(lambda: follow_setting(engine, home, settings.group_pattern))
    deliveries = Deliveries(home, settings.receivers, note)
    again(lambda: deliveries.follow(engine))
    again(lambda: follow_sources(engine, settings.folders(home.root), now()))
    _resume_training(common)

    def go_on() -> None:
        if common.stop.asked or not leads():
            raise StoppedError

    def beat(loop: str) -> None:
        common.monitor.beat(loop, time.monotonic())

    watching = watchers(
        home,
        settings,
        common.queue,
        common.arrived,
        note,
        beat,
        leads=leads,
        once=common.once,
    )
    for watcher in watching:
        watcher.start()
        stack.callback(watcher.stop)
    # Asked every other second: so the server hears of this daemon also during a long step.
    schedule = Schedule(note, may_run=leads)
    schedule_following(schedule, home, lock, common.queue, common.pipeline)
    may_begin = partial(_may_train, common.rest, leads)
    retraining = Retraining(home, settings, common.decisions, partial(note, "training"), may_begin)
    stack.callback(retraining.stop)
    if not common.once:
        schedule_care(schedule, home, settings, lock, common.queue, retraining, go_on)
    schedule.start()
    stack.callback(schedule.stop)
    deliveries.start()
    stack.callback(deliveries.stop)
    return Led(watching, schedule, deliveries)


class _Notes:
    """Shows the notices of the leader's parts, and takes them back when another daemon leads."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._subjects: set[str] = set()

    def __call__(self, subject: str, text: str | None) -> None:
        self._subjects.add(subject)
        self._common.lock.note(subject, text)

    def forget(self) -> None:
        """What is left is the next leader's. A daemon that ends shows it to its end."""
        if not self._common.stop.asked:
            for subject in self._subjects:
                self._common.lock.note(subject, None)


def _may_train(rest: Rest, leads: Callable[[], bool]) -> bool:
    return not rest.is_on and leads()


def _resume_training(common: Common) -> None:
    """A training that ended with the daemon before is asked for again, if a person had asked."""
    again = partial(patiently, stop=common.stop, lock=common.lock)
    decisions = common.decisions
    reasons = again(lambda: decisions.stop_all(now()))
    if BY_COMMAND in reasons and not common.once:
        names = names_in_use(common.home)
        again(lambda: decisions.request_training(BY_COMMAND, now(), names))

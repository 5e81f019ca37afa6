"""The rounds of a daemon whose parts were started: one step of the work after the other."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.classify.filing import StoppedError
from daemon.classify.pipelines import Pipelines
from daemon.database.connection import damaged, is_damage, reason_of
from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home, Lock
from daemon.home.space import Space
from daemon.inbox.watcher import Watcher
from daemon.service.leading import Leading
from daemon.service.membership import Membership
from daemon.service.rest import Rest
from daemon.service.schedule import Schedule
from daemon.service.stopping import Stop
from daemon.service.systemd import LoopMonitor
from daemon.service.trouble import PAUSE, note_unless_locked, unless_locked
from learner.errors import PassingError, VidwatchError

if TYPE_CHECKING:
    from daemon.classify.champion import ChampionLoader

log = logging.getLogger(__name__)
Show = Callable[[Queue], None]

IDLE = 0.5  # seconds
# Seconds of silence after which a loop counts as stuck. Loading a model, and waiting for a locked
# database, take long.
SILENCE = {"work": 180.0, "inbox": 300.0, "labelled": 300.0}


@dataclass(frozen=True)
class Daemon:
    """The parts of a daemon that has been started."""

    home: Home
    stop: Stop
    lock: Lock
    queue: Queue
    loader: "ChampionLoader"
    pipeline: Pipelines
    leading: Leading
    membership: Membership | None
    """None if no other daemon can share the database."""
    space: Space
    rest: Rest
    schedule: Schedule
    monitor: LoopMonitor
    arrived: threading.Event
    """Set when a watcher has found something to do."""

    def work(self, *, once: bool, show: Show) -> None:
        """Work until told to stop; with `once`, until all that is there is done."""
        log.info("watching %s", self.home.inbox)
        while not self.stop.asked:
            self._tend_membership()
            worked = self._round(show)
            self._require_undamaged()
            self._tend_parts()
            if not worked:
                if once and self._is_done():
                    break
                self.arrived.wait(IDLE)
                self.arrived.clear()
        if once and self.leading.led:
            self.leading.led.deliveries.finish(lambda: self.stop.asked)
        log.info("stopping")
        unless_locked(lambda: self.pipeline.file(now()))

    def _tend_membership(self) -> None:
        """Do what the other daemons make necessary.

        Raises:
            VidwatchError: this program is too old for the database by now.
        """
        try:
            has_changed = self.leading.tend()
        except StoppedError:
            return
        if self.membership is None:
            return
        if self.membership.outdated:
            raise VidwatchError(self.membership.outdated)
        if self.membership.stood_still.is_set():
            self.membership.stood_still.clear()
            why = "this daemon stood still, or was without the server"
            log.warning("%s: what it had in hand is queued again", why)
            self.pipeline.start_over()
        if has_changed:
            unless_locked(partial(self.membership.tend, now()))

    def _tend_parts(self) -> None:
        at = time.monotonic()
        self.schedule.tend()
        self.monitor.beat("work", at)
        if self.leading.led:
            self.leading.led.schedule.tend()
        else:
            for loop in SILENCE:  # the loops of the one that leads
                self.monitor.beat(loop, at)
        self.monitor.tend(at)

    @property
    def _watching(self) -> list[Watcher]:
        return self.leading.led.watching if self.leading.led else []

    def _round(self, show: Show) -> bool:
        """One step of the pipeline, with another model if another became the champion.

        A database that cannot be written now (locked by a browser, a full disk) costs time and no
        clip.
        """
        try:
            if predictor := self.loader.predictor_if_changed(now()):
                self.pipeline.use(predictor)
                self.loader.close_old()
                self.lock.runs_on(self.loader.in_use()[1])
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
        for watcher in self._watching:
            failure = watcher.failure
            if isinstance(failure, DatabaseError) and is_damage(failure.orig):
                raise damaged(self.home.database, str(failure.orig)) from failure

    def _is_done(self) -> bool:
        """Whether nothing is left to do."""
        if failure := next((one.failure for one in self._watching if one.failure), None):
            raise failure
        try:
            if not all(watcher.at_rest() for watcher in self._watching):
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

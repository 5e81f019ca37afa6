"""Which daemon leads: it alone watches folders, files, trains and cleans.

With a SQLite file the one daemon leads. On a server, PostgreSQL's lock says which one does.
"""

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from daemon.database.session import Session
from daemon.inbox.watcher import Watcher
from daemon.notify.deliveries import Deliveries
from daemon.service.schedule import Schedule

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two tries to lead


@dataclass(frozen=True)
class Led:
    """The parts that only the daemon that leads has."""

    watching: list[Watcher]
    schedule: Schedule
    deliveries: Deliveries


class Leading:
    """Starts these parts when the daemon begins to lead, and ends them when it does not any more.

    `tend` and `stop` are called by one thread, `may` by any.
    """

    def __init__(
        self,
        session: Session | None,
        start: Callable[[ExitStack], Led],
        is_mounted: Callable[[], bool],
    ) -> None:
        """Nothing is started yet.

        Args:
            session: Says who leads; None if there is only one daemon.
            start: Starts the parts; the stack ends them.
            is_mounted: Whether the home is there: without it, another daemon should lead.
        """
        self.led: Led | None = None
        self._session = session
        self._start = start
        self._is_mounted = is_mounted
        self._stack = ExitStack()
        self._next_try = 0.0

    def may(self) -> bool:
        """Whether this daemon leads now. It is asked before each change that is the leader's."""
        return self._session is None or (self._is_mounted() and self._session.leads())

    def tend(self) -> bool:
        """Begin or end to lead, if it is time to; gives whether that has changed."""
        before = self.led
        if self.led is not None and not self.may():
            log.warning("this daemon does not lead any more")
            self.stop()
        if self.led is None and self._begins():
            with ExitStack() as stack:
                self.led = self._start(stack)
                self._stack = stack.pop_all()
        return self.led is not before

    def stop(self) -> None:
        """End the parts, and let another daemon lead."""
        self.led = None
        self._stack.close()
        if self._session is not None:
            self._session.resign()

    def _begins(self) -> bool:
        if self._session is None:
            return True
        if time.monotonic() < self._next_try or not self._is_mounted():
            return False
        self._next_try = time.monotonic() + INTERVAL
        if not self._session.lead():
            return False
        log.info("this daemon leads: it watches the inbox, files and trains")
        return True

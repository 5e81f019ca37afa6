"""Whether new clips and trainings wait: for the end of a pause, or for the working hours."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from daemon.home.clock import local_time, now
from daemon.home.hours import WorkingHours
from daemon.home.pause import read_pause

log = logging.getLogger(__name__)

INTERVAL = 1.0  # seconds between two looks


class Rest:
    """Asked by several threads, before each new piece of work."""

    def __init__(
        self, pause: Path, hours: WorkingHours, note: Callable[[datetime | None], None]
    ) -> None:
        """Look for the first time.

        Args:
            pause: The file that holds the pause; see `daemon/home/pause.py`.
            hours: The working hours.
            note: Gets the beginning of the next working hours; None within them.
        """
        self._pause = pause
        self._hours = hours
        self._note = note
        self._looking = threading.Lock()
        self._looked_at = float("-inf")
        self._why: str | None = None
        self.look(now())

    @property
    def why(self) -> str | None:
        """Why new work waits, and until when; None if it does not wait."""
        with self._looking:
            if time.monotonic() >= self._looked_at + INTERVAL:
                self._look(now())
            return self._why

    @property
    def is_on(self) -> bool:
        """Whether new work waits."""
        return self.why is not None

    def look(self, at: datetime) -> None:
        """Look at once, as at this time."""
        with self._looking:
            self._look(at)

    def _look(self, at: datetime) -> None:
        self._looked_at = time.monotonic()
        pause = read_pause(self._pause, at)
        closed_until = self._hours.closed_until(at)
        self._note(closed_until)
        why = None
        if pause:
            why = f"paused {pause.in_words()}"
        elif closed_until:
            why = f"outside of the working hours until {local_time(closed_until)} (working_hours)"
        if why and why != self._why:
            log.info("no new clip begins: %s", why)
        elif self._why and not why:
            log.info("new clips begin again")
        self._why = why

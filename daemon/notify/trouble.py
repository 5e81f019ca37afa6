"""Notes an event if a notice of the daemon stays for some minutes, and another one when it goes.

What was noted is kept in a file: a trouble that ends by a restart of the daemon is over, too.
"""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from daemon.database.events import Event, note_events
from learner import files

log = logging.getLogger(__name__)

STAYS = timedelta(minutes=5)


class TroubleWatch:
    """Looks at the notices now and then."""

    def __init__(
        self, engine: Engine, notices: Callable[[], Mapping[str, str]], kept: Path
    ) -> None:
        """Nothing is noted yet.

        Args:
            engine: The database, for the events.
            notices: Gives the notices of now by their subjects.
            kept: The file with the subjects that were noted and are not over.
        """
        self._writer = engine.execution_options(writes=True)
        self._notices = notices
        self._kept = kept
        self._since: dict[str, datetime] = {}
        self._noted: set[str] = set()
        self._before = _read(kept)
        """What an earlier daemon has noted, until it is known whether it is over."""
        self._began: datetime | None = None

    def tend(self, now: datetime) -> None:
        """Note what has stayed, and what is over."""
        notices = dict(self._notices())
        kept = self._noted | self._before
        self._began = min(self._began or now, now)
        is_known = now - self._began >= STAYS
        known = self._before if is_known else self._before & notices.keys()
        self._noted |= known
        self._before -= known
        # A clock that was set back would make a notice stay for as long again.
        self._since = {name: min(self._since.get(name, now), now) for name in notices}
        stays = {name for name, since in self._since.items() if now - since >= STAYS}
        texts = [f"{name}: {notices[name]}" for name in sorted(stays - self._noted)]
        texts += [f"{name}: " for name in sorted(self._noted - notices.keys())]
        if texts:
            with self._writer.begin() as connection:
                events = [Event(None, text=text) for text in texts]
                note_events(connection, "trouble", events, now)
        self._noted = (self._noted | stays) & notices.keys()
        if self._noted | self._before != kept:
            self._keep()

    def _keep(self) -> None:
        try:
            files.write(self._kept, json.dumps(sorted(self._noted | self._before)).encode())
        except OSError as error:  # a full disk is trouble itself
            log.warning("%s cannot be written (%s)", self._kept, error.strerror)


def _read(kept: Path) -> set[str]:
    """The subjects that the file has; none if it cannot be read."""
    try:
        return {str(subject) for subject in json.loads(kept.read_bytes())}
    except (OSError, ValueError, TypeError):
        return set()

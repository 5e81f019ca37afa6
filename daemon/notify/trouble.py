"""Notes an event if a notice of the daemon stays for some minutes, and another one when it goes."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Engine

from daemon.database.events import Event, note_events

STAYS = timedelta(minutes=5)


class TroubleWatch:
    """Looks at the notices now and then."""

    def __init__(self, engine: Engine, notices: Callable[[], Mapping[str, str]]) -> None:
        """Nothing is noted yet; `notices` gives those of now by their subjects."""
        self._writer = engine.execution_options(writes=True)
        self._notices = notices
        self._since: dict[str, datetime] = {}
        self._noted: set[str] = set()

    def tend(self, now: datetime) -> None:
        """Note what has stayed, and what is over."""
        notices = dict(self._notices())
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

"""Who is told of events, and whether they can be reached. Only reads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from daemon.database.tables import outbox, receivers
from learner.texts import counted


@dataclass(frozen=True)
class ReceiverStatus:
    """A receiver of the settings that the daemon read last."""

    name: str
    waiting: int
    """How many events wait to be sent to it."""
    delivered_at: datetime | None
    """When it was last sent something; None if never."""
    failure: str | None
    """Why it cannot be reached; None if it could be last time."""
    failing_since: datetime | None
    given_up: int
    """How many events were never sent to it."""

    def in_words(self) -> str:
        """How it goes, for people, but for the times."""
        words = []
        if self.waiting:
            words.append(f"{counted(self.waiting, 'event')} waiting")
        if self.failure:
            words.append(self.failure)
        if self.given_up:
            words.append(f"{self.given_up} given up")
        return "; ".join(words)

    def to_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        delivered_at = self.delivered_at and self.delivered_at.isoformat()
        since = self.failing_since and self.failing_since.isoformat()
        return {**vars(self), "delivered_at": delivered_at, "failing_since": since}


def read_receivers(connection: Connection) -> list[ReceiverStatus]:
    """All receivers, by name."""
    waits = select(func.count()).where(outbox.c.receiver_id == receivers.c.id).scalar_subquery()
    columns = (receivers.c.name, waits, receivers.c.delivered_at, receivers.c.failure)
    query = select(*columns, receivers.c.failing_since, receivers.c.given_up)
    return [ReceiverStatus(*row) for row in connection.execute(query.order_by(receivers.c.name))]

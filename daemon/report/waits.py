"""Clips that are read again later although nothing is wrong with them, for people and as JSON."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.tables import videos


@dataclass(frozen=True)
class Wait:
    """A video that waits to be read again."""

    id: int
    name: str
    source: str | None
    """The folder of the inbox that it came from; None if it lay in the inbox itself."""
    why: str
    until: datetime
    """When it is read again."""

    def to_json(self) -> dict[str, Any]:
        """One object; the time in ISO 8601."""
        return {**asdict(self), "until": self.until.isoformat()}


def waits(connection: Connection, most: int) -> list[Wait]:
    """The videos that wait to be read again, those that are read first to begin with.

    Args:
        connection: To the database.
        most: How many at most.
    """
    columns = (videos.c.id, videos.c.name, videos.c.source, videos.c.held, videos.c.retry_at)
    held = select(*columns).where(videos.c.held.is_not(None), videos.c.retry_at.is_not(None))
    rows = connection.execute(held.order_by(videos.c.retry_at, videos.c.id).limit(most))
    return [Wait(*row) for row in rows]

"""The videos that failed, or are in temporary trouble."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from daemon.database.tables import videos


@dataclass(frozen=True)
class Problem:
    """A video that failed, or is in temporary trouble."""

    id: int
    name: str
    source: str | None
    """The folder of the inbox that it came from; None if it lay in the inbox itself."""
    reason: str


def problems(connection: Connection, reason: ColumnElement[Any], most: int) -> list[Problem]:
    """The newest videos that have something in the column `reason`, `most` at most."""
    columns = (videos.c.id, videos.c.name, videos.c.source)
    query = select(*columns, reason.label("reason")).where(reason.is_not(None))
    rows = connection.execute(query.order_by(videos.c.id.desc()).limit(most))
    return [Problem(*row) for row in rows]

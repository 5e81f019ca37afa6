"""The videos that failed, or are in temporary trouble."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, select

from daemon.database.tables import videos


@dataclass(frozen=True)
class Problem:
    """A video that failed, or is in temporary trouble."""

    id: int
    name: str
    source: str | None
    """The folder of the inbox that it came from; None if it lay in the inbox itself."""
    reason: str
    n_more: int = 0
    """How many older videos have the same trouble."""


def problems(connection: Connection, reason: ColumnElement[Any], most: int) -> list[Problem]:
    """The newest videos that have something in the column `reason`, `most` at most.

    Those that a person has forgotten are left out.
    """
    columns = (videos.c.id, videos.c.name, videos.c.source)
    is_shown = and_(reason.is_not(None), videos.c.forgotten_at.is_(None))
    query = select(*columns, reason.label("reason")).where(is_shown)
    rows = connection.execute(query.order_by(videos.c.id.desc()).limit(most))
    return [Problem(*row) for row in rows]


def troubles(connection: Connection, most: int) -> list[Problem]:
    """The newest videos in trouble, one for each trouble, `most` at most.

    All files of an archive that is away have one trouble.
    """
    newest = func.max(videos.c.id).label("newest")
    of_trouble = select(newest, func.count().label("n")).where(videos.c.trouble.is_not(None))
    each = of_trouble.group_by(videos.c.trouble).order_by(newest.desc()).limit(most).subquery()
    columns = (videos.c.id, videos.c.name, videos.c.source, videos.c.trouble, each.c.n - 1)
    query = select(*columns).join(each, each.c.newest == videos.c.id)
    rows = connection.execute(query.order_by(videos.c.id.desc()))
    return [Problem(*row) for row in rows]

"""Which videos wait for their turn, and which of them is next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, literal_column, or_, select, true

from daemon.database.tables import videos
from daemon.home.clock import latest

LONGEST_PAUSE = timedelta(minutes=5)  # before a file that is in trouble is tried again


@dataclass(frozen=True)
class Which:
    """Which of the videos are meant."""

    model: str | None = None
    """Those that this model predicts; None: the champion."""
    without: tuple[bytes, ...] = ()
    """None of these archives and sources."""


ALL = Which()
"""All those of the champion."""


def oldest_due(
    connection: Connection, limit: int, now: datetime, which: Which, *, writes: bool = False
) -> list[Any]:
    """The rows that are to be claimed next, the oldest first, those in the background last.

    If the transaction `writes`, nobody else gets the same rows meanwhile.

    Args:
        connection: To the database.
        limit: How many at most.
        now: The time.
        which: Only these.
    """
    rows: list[Any] = []
    for background in (False, True):
        if len(rows) < limit:
            ids = _due(now, which, background=background).limit(limit - len(rows))
            if writes:  # SQLite needs no lock of rows, and leaves the words out
                ids = ids.with_for_update(skip_locked=True)
            # Two queries: as a part of another one, PostgreSQL may ask the first one several times,
            # and lock more rows.
            due = connection.scalars(ids).all()
            these = select(videos).where(videos.c.id.in_(due)).order_by(videos.c.id)
            rows += connection.execute(these) if due else []
    return rows


def _due(now: datetime, which: Which, *, background: bool) -> Select[int]:
    """The ids of the queued videos that are due, by an index that has all that is asked."""
    # Written out, as in the index of queued videos.
    conditions = [
        videos.c.state == literal_column("'queued'"),
        videos.c.own_model.is_(None) if which.model is None else videos.c.own_model == which.model,
        videos.c.background == (true() if background else false()),
        is_due(now),
    ]
    if which.without:
        is_other = videos.c.origin.not_in(which.without)
        conditions.append(or_(videos.c.origin.is_(None), is_other))
    return select(videos.c.id).where(*conditions).order_by(videos.c.id)


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether no pause is left."""
    return or_(videos.c.retry_at.is_(None), is_over(now, LONGEST_PAUSE))


def is_over(now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Whether a pause is over.

    One that seems longer than the longest began before the clock was set back.
    """
    return or_(videos.c.retry_at <= now, videos.c.retry_at > latest(now, longest))

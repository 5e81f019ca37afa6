"""Which videos wait for their turn, and which of them is next."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, literal_column, or_, select

from daemon.database.tables import videos
from daemon.home.clock import latest

LONGEST_PAUSE = timedelta(minutes=5)  # before a file that is in trouble is tried again


def oldest_due(connection: Connection, limit: int, now: datetime, model: str | None) -> list[Any]:
    """The rows that are to be claimed next, the oldest first, those in the background last.

    Args:
        connection: To the database.
        limit: How many at most.
        now: The time.
        model: Only of those that this model predicts; None: the champion.
    """
    # Written out, so that SQLite uses the index of those that are not in the background.
    queued = videos.c.state == literal_column("'queued'")
    by_it = videos.c.own_model.is_(None) if model is None else videos.c.own_model == model
    due = select(videos).where(queued, by_it, is_due(now)).order_by(videos.c.id)
    rows = list(connection.execute(due.where(~videos.c.background).limit(limit)))
    if len(rows) < limit:
        rows += connection.execute(due.where(videos.c.background).limit(limit - len(rows)))
    return rows


def is_due(now: datetime) -> ColumnElement[bool]:
    """Whether no pause is left."""
    return or_(videos.c.retry_at.is_(None), is_over(now, LONGEST_PAUSE))


def is_over(now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """Whether a pause is over.

    One that seems longer than the longest began before the clock was set back.
    """
    return or_(videos.c.retry_at <= now, videos.c.retry_at > latest(now, longest))

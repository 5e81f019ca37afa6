"""The long videos in hand, and how far their windows are predicted, for people and as JSON."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from daemon.database.tables import videos, windows


@dataclass(frozen=True)
class LongInHand:
    """A long video in hand."""

    id: int
    name: str
    source: str | None
    """The folder of the inbox that it came from; None if it lay in the inbox itself."""
    predicted_until: float
    """The end of the last window that is recorded, in seconds from its first picture."""


def long_in_hand(connection: Connection, most: int) -> list[LongInHand]:
    """The videos in hand of which windows are recorded, those that came first to begin with.

    Args:
        connection: To the database.
        most: How many at most.
    """
    until = _until()
    columns = (videos.c.id, videos.c.name, videos.c.source, until)
    in_hand = select(*columns).where(videos.c.state == "claimed", until.is_not(None))
    rows = connection.execute(in_hand.order_by(videos.c.id).limit(most))
    return [LongInHand(*row) for row in rows]


def predicted_until(connection: Connection, video: int) -> float | None:
    """How far the windows of a video in hand are predicted, in seconds.

    None if no window is, or if the video is not in hand.
    """
    this = (videos.c.id == video, videos.c.state == "claimed")
    return connection.scalar(select(_until()).where(*this))


def _until() -> ColumnElement[Any]:
    end = select(func.max(windows.c.end_s)).where(windows.c.video_id == videos.c.id)
    return end.scalar_subquery()

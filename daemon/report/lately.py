"""How many videos came, were predicted, are unsure and failed, day by day. Only reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from sqlalchemy import ColumnElement, Connection, Table, and_, func, not_, select

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos
from daemon.labels.queries import awaits_random_review

DAYS = 7


@dataclass(frozen=True)
class Day:
    """What happened on one day."""

    day: date
    came: int
    predicted: int
    unsure: int
    """How many of the predicted ones, without clips that await their random review."""
    failed: int


def days(
    connection: Connection, now: datetime, zone: tzinfo | None = None, count: int = DAYS
) -> list[Day]:
    """The last `count` days, the oldest first; the last one, today, is not over yet.

    Args:
        connection: To the database.
        now: The time.
        zone: Whose days count; None for the zone of this machine.
        count: How many days.
    """
    today = now.astimezone(zone).date()
    dates = [today - timedelta(days=n) for n in reversed(range(count))]
    begins = [datetime.combine(day, time.min, zone).astimezone(UTC) for day in dates]
    ends = [*begins[1:], datetime.max.replace(tzinfo=UTC)]
    spans = list(zip(begins, ends, strict=True))
    predicted = predictions.c.created_at
    # One by one: all that await their review would be many more.
    blind = and_(videos.c.id == predictions.c.video_id, awaits_random_review())
    may_tell = not_(select(videos.c.id).where(blind).exists())
    unsure = and_(that_counts(), predictions.c.doubt.is_not(None), may_tell)
    failed = videos.c.state == "failed"
    columns = (
        _came(connection, begins),
        [_count(connection, predictions, predicted, span, that_counts()) for span in spans],
        [_count(connection, predictions, predicted, span, unsure) for span in spans],
        [_count(connection, videos, videos.c.finished_at, span, failed) for span in spans],
    )
    return [Day(day, *figures) for day, *figures in zip(dates, *columns, strict=True)]


def _came(connection: Connection, begins: Sequence[datetime]) -> list[int]:
    """How many videos came in each of the spans that begin then; the last one has no end.

    Ids grow as videos come, so the newest one before a span says where the span begins, without an
    index of the times.
    """
    places = []
    for begin in begins:
        before = select(videos.c.id).where(videos.c.arrived_at < begin)
        newest = connection.scalar(before.order_by(videos.c.id.desc()).limit(1)) or 0
        is_later = videos.c.id > newest
        places.append(connection.scalar(select(func.count()).where(is_later)) or 0)
    return [n - later for n, later in zip(places, [*places[1:], 0], strict=True)]


def _count(
    connection: Connection,
    table: Table,
    at: ColumnElement[datetime],
    span: tuple[datetime, datetime],
    condition: ColumnElement[bool],
) -> int:
    is_within = and_(at >= span[0], at < span[1])
    counted = select(func.count()).select_from(table).where(is_within, condition)
    return connection.scalar(counted) or 0

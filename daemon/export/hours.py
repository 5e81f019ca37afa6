"""The hours and the weekdays of moments that the database holds in UTC, by a zone's clocks."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from sqlalchemy import BigInteger, ColumnElement, and_, case, cast, extract, literal, or_

DAY = 24 * 3600  # seconds
THURSDAY = 3
FIRST_YEAR = 2000  # earlier moments are taken to have the clocks of its beginning
LAST_YEAR = 2040


def is_in_hours(
    moment: ColumnElement[datetime], start: int, end: int, zone: tzinfo | None
) -> ColumnElement[bool]:
    """Whether a moment is at or after the hour `start` of its day, and before the hour `end`.

    Args:
        moment: As the database holds it, in UTC.
        start: From 0 to 23.
        end: From 1 to 24. If it is not after `start`, the hours go on over midnight.
        zone: Whose clocks count; None for this machine's.
    """
    minute = _minute_of_day(moment, zone)
    after = minute >= 60 * start
    before = minute < 60 * end
    return and_(after, before) if start < end else or_(after, before)


def is_on_weekday(
    moment: ColumnElement[datetime], weekday: int, zone: tzinfo | None
) -> ColumnElement[bool]:
    """Whether a moment is on a day of the week, 0 for Monday. Arguments as for `is_in_hours`."""
    days = _local_seconds(moment, zone) // DAY
    return (days + THURSDAY) % 7 == weekday  # days are counted from a Thursday on


def _minute_of_day(moment: ColumnElement[datetime], zone: tzinfo | None) -> ColumnElement[int]:
    """Minutes since midnight."""
    return (_local_seconds(moment, zone) % DAY) // 60


def _local_seconds(moment: ColumnElement[datetime], zone: tzinfo | None) -> ColumnElement[int]:
    """Seconds since 1970 began, by the clocks of a zone."""
    first, *changes = _offsets(zone)
    offset: ColumnElement[int] = literal(60 * first[1])
    if changes:
        # The clocks change twice a year: the newest change before the moment counts.
        newest_first = [(moment >= at, 60 * minutes) for at, minutes in reversed(changes)]
        offset = case(*newest_first, else_=60 * first[1])
    return cast(extract("epoch", moment), BigInteger) + offset


@lru_cache(16)
def _offsets(zone: tzinfo | None) -> tuple[tuple[datetime, int], ...]:
    """From when on the clocks of a zone are so many minutes ahead of UTC."""
    return tuple(_changes(zone))


def _changes(zone: tzinfo | None) -> Iterator[tuple[datetime, int]]:
    moment = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
    before = _ahead(moment, zone)
    yield moment, before
    while moment.year < LAST_YEAR:
        following = moment + timedelta(days=7)
        after = _ahead(following, zone)
        if after != before:
            yield _change_between(moment, following, zone), after
        moment = following
        before = after


def _change_between(early: datetime, late: datetime, zone: tzinfo | None) -> datetime:
    """The minute at which the clocks change."""
    before = _ahead(early, zone)
    while late - early > timedelta(minutes=1):
        middle = early + (late - early) // 2
        middle = middle.replace(second=0, microsecond=0)
        if middle <= early:
            break
        if _ahead(middle, zone) == before:
            early = middle
        else:
            late = middle
    return late


def _ahead(moment: datetime, zone: tzinfo | None) -> int:
    """Minutes by which the clocks of a zone are ahead of UTC."""
    offset = moment.astimezone(zone).utcoffset() or timedelta()
    return round(offset.total_seconds() / 60)

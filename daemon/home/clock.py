"""Gives the time now, in UTC, writes times for people, and judges times of another clock."""

from datetime import UTC, datetime, timedelta, tzinfo

END = datetime.max.replace(tzinfo=UTC)


def now() -> datetime:
    """The time now in UTC, as a datetime that has the time zone UTC."""
    return datetime.now(UTC)


def local_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time for people, with the name of its zone, such as "2026-01-31 23:59 CET".

    Args:
        moment: With a time zone.
        zone: The person's zone; None for that of this machine.
    """
    try:
        local = moment.astimezone(zone)
    except OverflowError:  # the last day that there is, in a zone in which it is over
        local = moment
    return f"{local:%Y-%m-%d %H:%M %Z}"


def latest(now: datetime, longest: timedelta) -> datetime:
    """When a pause that begins now, and is as long as it may be, is over."""
    return now + longest if END - now > longest else END


def is_waiting(now: datetime, until: datetime, longest: timedelta) -> bool:
    """Whether a pause goes on.

    One that seems longer than it may be began before the clock was set back, and is over: it
    would last until the clock shows that time again, which may be in years.

    Args:
        now: The time.
        until: When the pause ends.
        longest: How long it may be.
    """
    return now < until <= latest(now, longest)

"""Gives the time now, in UTC, and writes times for people, in their own zone."""

from datetime import UTC, datetime, tzinfo


def now() -> datetime:
    """The time now in UTC, as a datetime that has the time zone UTC."""
    return datetime.now(UTC)


def local_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time for people, with the name of its zone, such as "2026-01-31 23:59 CET".

    Args:
        moment: With a time zone.
        zone: The person's zone; None for that of this machine.
    """
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"

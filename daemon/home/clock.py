"""Gives the time now, in UTC."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time now in UTC, as a datetime that has the time zone UTC."""
    return datetime.now(UTC)

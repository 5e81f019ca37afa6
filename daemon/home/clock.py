"""The time of day."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time now, in UTC and with its time zone."""
    return datetime.now(UTC)

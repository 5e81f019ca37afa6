"""The time of day."""

from datetime import UTC, datetime


def now() -> datetime:
    """In UTC, aware of it."""
    return datetime.now(UTC)

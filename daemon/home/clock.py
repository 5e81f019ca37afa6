"""Gives the time now, in UTC, writes times for people, and judges times of another clock.

Machines that share a database on a server have its clock: else the lease of a video, or a pause,
would be over on one machine and not on another.
"""

from datetime import UTC, datetime, timedelta, tzinfo

END = datetime.max.replace(tzinfo=UTC)

_ahead = timedelta()
"""How far the clock of the database's server is ahead of this machine's."""


def now() -> datetime:
    """The time now in UTC, as a datetime that has the time zone UTC."""
    return machine_time() + _ahead


def machine_time() -> datetime:
    """The time that the clock of this machine shows, in UTC."""
    return datetime.now(UTC)


def follow(moment: datetime) -> timedelta:
    """Let `now` follow another clock, which shows this moment; gives how far it is ahead."""
    global _ahead
    _ahead = moment - machine_time()
    return _ahead


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

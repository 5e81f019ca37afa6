"""Reads the times and the lengths of time that people give, such as "20:00" or "1h30m"."""

import re
from datetime import UTC, date, datetime, time, timedelta

from daemon.home.clock import END
from learner.errors import VidwatchError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def duration(text: str) -> timedelta:
    """The length of time that a text such as "2h" or "1h30m" names.

    Raises:
        VidwatchError: it names none.
    """
    word = text.replace(" ", "").lower()
    length = timedelta()
    if _DURATION.fullmatch(word):
        try:
            for number, unit in _PART.findall(word):
                length += timedelta(**{UNITS[unit]: float(number)})
        except OverflowError:
            length = timedelta()
    if length <= timedelta():
        raise VidwatchError(f"{text!r} is no length of time; examples: 90s, 30m, 2h, 1h30m, 3d")
    return length


def after(now: datetime, length: timedelta) -> datetime:
    """The time so much later, or the last one that there is."""
    return now + length if END - now > length else END


def next_time(text: str, now: datetime) -> datetime:
    """The time that a text names, in UTC: "20:00" is the next one, in local time.

    Raises:
        VidwatchError: it names none.
    """
    moment = moment_named(text, now)
    if moment <= now and _is_time_of_day(text):
        today = now.astimezone().date()
        return _local(today + timedelta(days=1), time.fromisoformat(_padded(text)))
    return moment


def moment_named(text: str, now: datetime) -> datetime:
    """The time that a text names, in UTC: "20:00" is that of today. Without a zone, it is local.

    Raises:
        VidwatchError: it names none.
    """
    try:
        if _is_time_of_day(text):
            return _local(now.astimezone().date(), time.fromisoformat(_padded(text)))
        return datetime.fromisoformat(_padded(text)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        example = "20:00, 2026-12-24 or 2026-12-24 08:00"
        raise VidwatchError(f"{text!r} is no time; examples: {example}") from error


def _is_time_of_day(text: str) -> bool:
    return re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text.strip()) is not None


def _padded(text: str) -> str:
    """The text with the hour in two digits."""
    return re.sub(r"(?<!\d)(?=\d:)", "0", text.strip(), count=1)


def _local(day: date, at: time) -> datetime:
    return datetime.combine(day, at).astimezone(UTC)

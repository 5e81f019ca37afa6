"""A pause that a person has asked for: a file of the home, which every daemon on it heeds.

It is no row of the database: it can be made while the database is locked, and a backup that is
restored does not end it.
"""

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from daemon.home.clock import END, local_time
from daemon.home.texts import printable
from learner import files
from learner.errors import VidwatchError

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


@dataclass(frozen=True)
class Pause:
    """Until it ends, no new clip and no training begins."""

    since: datetime
    until: datetime | None
    """None: until a person ends it."""
    by: str
    """The user who asked for it."""

    def is_over(self, now: datetime) -> bool:
        """Whether its time has passed."""
        return self.until is not None and now >= self.until

    def in_words(self) -> str:
        """Since when, until when and by whom, for people."""
        until = f"until {local_time(self.until)}" if self.until else "until 'vidwatch resume'"
        return printable(f"since {local_time(self.since)}, {until}, by {self.by}")

    def to_json(self) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        until = self.until.isoformat() if self.until else None
        return {"since": self.since.isoformat(), "until": until, "by": self.by}


def read_pause(path: Path, now: datetime) -> Pause | None:
    """The pause that the file at `path` holds; None if there is none, or it is over.

    A file that cannot be read pauses, too: somebody wanted that.
    """
    try:
        content = json.loads(path.read_bytes())
        until = content["until"]
        pause = Pause(
            datetime.fromisoformat(content["since"]).astimezone(UTC),
            datetime.fromisoformat(until).astimezone(UTC) if until else None,
            str(content["by"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pause = Pause(_changed_at(path, now), None, f"the file {path}, which cannot be read")
    return None if pause.is_over(now) else pause


def write_pause(path: Path, pause: Pause) -> None:
    """Begin a pause, in the place of the one before.

    Raises:
        VidwatchError: the file cannot be written.
    """
    try:
        files.write(path, json.dumps(pause.to_json()).encode(), mode=0o644)
    except OSError as error:
        raise _explained(path, error) from error


def end_pause(path: Path) -> None:
    """End the pause, if there is one.

    Raises:
        VidwatchError: the file cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _explained(path, error) from error


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


def _changed_at(path: Path, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return now


def _explained(path: Path, error: OSError) -> VidwatchError:
    hint = "give this command as the user that the daemon runs as"
    return VidwatchError(f"{path} cannot be changed ({error.strerror}): {hint}")

"""A pause that a person has asked for: a file of the home, which every daemon on it heeds.

It is no row of the database: it can be made while the database is locked, and a backup that is
restored does not end it.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from daemon.home.clock import local_time
from daemon.home.texts import printable
from learner import files
from learner.errors import VidwatchError


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
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
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


def _changed_at(path: Path, now: datetime) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return now


def _explained(path: Path, error: OSError) -> VidwatchError:
    hint = "give this command as the user that the daemon runs as"
    return VidwatchError(f"{path} cannot be changed ({error.strerror}): {hint}")

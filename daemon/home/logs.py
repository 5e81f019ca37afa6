"""Where the daemon's log goes: into the journal, or into files of the home."""

import logging
import os
import re
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

from daemon.home.texts import printable
from learner.files import write

LARGEST = 5_000_000  # bytes of one file of the log
KEPT = 4  # full files
TIME = "%Y-%m-%d %H:%M:%S%z"
INDENT = "    "
"""Before all but the first line of an entry: none of them can look like another entry."""
_UNIT = re.compile(r"(user:)?([\w:.@\\-]+\.service)")


class Unit(NamedTuple):
    """The unit of systemd that runs the daemon."""

    name: str
    is_of_user: bool


class FileFormatter(logging.Formatter):
    """A line with time, level and text, without control characters; a traceback is indented."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", TIME)

    def format(self, record: logging.LogRecord) -> str:
        """The record as the file has it."""
        return f"\n{INDENT}".join(map(printable, super().format(record).splitlines()))


class LogFile(RotatingFileHandler):
    """Writes the log into the home. What cannot be written is on stderr, too, and is left out."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; the file is made with the first line.

        Raises:
            OSError: the folder cannot be made.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        super().__init__(
            folder / "vidwatch.log",
            maxBytes=LARGEST,
            backupCount=KEPT,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )
        self.setFormatter(FileFormatter())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A full disk: a traceback on stderr for each line would help nobody."""


def note_unit(folder: Path, unit: Unit | None) -> None:
    """Note that the log goes into the journal, or that it does not (None)."""
    with suppress(OSError):  # `vidwatch logs` alone needs it
        if unit is None:
            (folder / "unit").unlink(missing_ok=True)
            return
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        prefix = "user:" if unit.is_of_user else ""
        write(folder / "unit", f"{prefix}{unit.name}\n".encode(), mode=0o644)


def read_unit(folder: Path) -> Unit | None:
    """The unit in whose journal the log is; None if it is in files."""
    with suppress(OSError):
        descriptor = os.open(folder / "unit", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(1000).decode(errors="replace").strip()
        if match := _UNIT.fullmatch(text):
            return Unit(match[2], bool(match[1]))
    return None


def own_unit() -> Unit | None:
    """The unit of systemd that this process belongs to, by its control group; None if none."""
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            names = [part for part in line.split("/") if part.endswith(".service")]
            if names:
                is_of_user = len(names) > 1 and names[0].startswith("user@")
                return Unit(names[-1], is_of_user)
    return None


def log_files(folder: Path) -> list[Path]:
    """The files of the log, the oldest first."""
    newest = folder / "vidwatch.log"
    full = [folder / f"vidwatch.log.{number}" for number in range(KEPT, 0, -1)]
    return [path for path in (*full, newest) if path.is_file()]

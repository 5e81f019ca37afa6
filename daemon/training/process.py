"""Starts the process that trains, and reads its messages."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.home.folder import Home
from daemon.training.job import Job
from daemon.training.records import Training
from learner.files import open_own

MESSAGES = "news.jsonl"
LOG = "log.txt"


def start(job: Job, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that does the job; it writes its messages and its log into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MESSAGES).unlink(missing_ok=True)
    with (
        os.fdopen(open_own(folder / MESSAGES, os.O_WRONLY | os.O_EXCL), "wb") as messages,
        os.fdopen(open_own(folder / LOG, os.O_WRONLY | os.O_APPEND), "ab") as log,
        # Through a pipe, a large job would be taken only when the process has loaded its
        # libraries; if it were stopped before, we would wait for ever.
        tempfile.TemporaryFile(dir=folder) as given,
    ):
        given.write(job.to_json().encode())
        given.seek(0)
        # It runs in the daemon's own session: Linux gives each session an equal share of the
        # processors, whatever the priority of its processes. In a session of its own, training made
        # classification seven times slower.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "daemon.training.trainer", str(os.getpid())],
            stdin=given,
            stdout=messages,
            stderr=log,
        )


def names_in_use(home: Home) -> set[str]:
    """The names of models in the home that a new one must not have."""
    return {path.stem for path in home.models.glob("auto-*")}


def how_it_ended(process: subprocess.Popen[bytes]) -> str:
    """How a process ended that sent no result, for people."""
    code = process.returncode
    how = f"signal {-code}" if code < 0 else f"exit status {code}"
    return f"its process ended ({how})"


class Messages:
    """The messages of the process, from the file that it writes them to."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / MESSAGES).open("rb")
        self._unfinished_line = b""

    def new(self) -> list[dict[str, Any]]:
        """The messages since the last call, as far as their lines are whole."""
        *lines, self._unfinished_line = (self._unfinished_line + self._file.read()).split(b"\n")
        # A library may print lines of its own.
        return [json.loads(line) for line in lines if line.startswith(b"{")]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass
class Running:
    """A process that trains a challenger and compares it, or only compares it again."""

    process: subprocess.Popen[bytes]
    messages: Messages
    training: Training | None
    """None if the challenger is only compared again."""
    challenger: str
    champion: str
    deadline: float
    """When the process is killed if it has not ended, on the monotonic clock: it may not be killed
    because somebody sets the clock, nor go on for ever."""
    why_killed: str | None = None
    result: dict[str, Any] | None = None
    """The message with its verdict or its error, once it has sent one."""

"""What a daemon writes into the lock of its home while it holds it: its notices, and how it is."""

import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from daemon.home.texts import printable

log = logging.getLogger(__name__)

LOCK_BYTES = 16384
LONGEST_NOTICE = 300  # bytes


@dataclass(frozen=True)
class Running:
    """The daemon that holds a home."""

    pid: int
    since: datetime
    """When it took the home's lock."""
    notices: Mapping[str, str] = field(default_factory=dict)
    """What `vidwatch status` shows to people, by subject."""
    is_starting: bool = False
    """Whether it does not take clips yet: it loads its model, or waits for its database."""
    closed_until: datetime | None = None
    """When the next working hours begin; None within them."""
    runs_on: str | None = None
    """The device that its model runs on, and by what; None while it starts."""


class Lock:
    """A home that this process holds. The lock's file contains the daemon's notices.

    The file gets its full size at once and is then overwritten in place: a notice can be about a
    full disk, on which no file can grow.
    """

    def __init__(self, descriptor: int) -> None:
        self.running = Running(os.getpid(), datetime.now(UTC))
        self._descriptor = descriptor
        self._writing = threading.Lock()
        os.truncate(descriptor, LOCK_BYTES)
        self._write()

    def starts(self, *, is_starting: bool) -> None:
        """Note that the daemon starts, or that its start is over."""
        with self._writing:
            self.running = replace(self.running, is_starting=is_starting)
            self._write()

    def runs_on(self, device: str) -> None:
        """Note the device that the model runs on, and by what."""
        with self._writing:
            self.running = replace(self.running, runs_on=device)
            self._write()

    def close_until(self, until: datetime | None) -> None:
        """Note when the next working hours begin; None within them."""
        with self._writing:
            if until != self.running.closed_until:
                self.running = replace(self.running, closed_until=until)
                self._write()

    def note(self, subject: str, text: str | None) -> None:
        """Show a notice in `vidwatch status`, until it is None. A new notice is logged, too."""
        with self._writing:
            notices = dict(self.running.notices)
            before = notices.pop(subject, None)
            if text == before:
                return
            if text:
                notices[subject] = text
            self.running = replace(self.running, notices=notices)
            self._write()
        if text:
            log.warning("%s: %s", subject, printable(text))
        else:
            log.info("%s: no longer a problem (it was: %s)", subject, printable(before or ""))

    def _write(self) -> None:
        longest = LONGEST_NOTICE
        while len(data := self._content(longest)) > LOCK_BYTES:
            longest //= 2
        with suppress(OSError):  # a share that is away; `vidwatch status` asks the database, too
            os.pwrite(self._descriptor, data.ljust(LOCK_BYTES), 0)

    def _content(self, longest: int) -> bytes:
        """The file's content, with at most so many bytes of each notice."""
        notices = {key: _shortened(text, longest) for key, text in self.running.notices.items()}
        closed = self.running.closed_until
        content = {
            "pid": self.running.pid,
            "since": self.running.since.isoformat(),
            "notices": notices,
            "starting": self.running.is_starting,
            "closed_until": closed.isoformat() if closed else None,
            "runs_on": self.running.runs_on,
        }
        return json.dumps(content, ensure_ascii=False).encode()


def _shortened(text: str, longest: int) -> str:
    """The text in at most so many bytes."""
    return printable(text).encode()[:longest].decode(errors="ignore")


def flock_within(descriptor: int, kind: int, seconds: float) -> bool:
    """Take the lock; False if another process holds it for so many seconds.

    `vidwatch status` holds it for an instant. A daemon that starts just then must wait for that,
    not give up.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)


def read_running(descriptor: int) -> Running | None:
    """What the lock's file says of the daemon that holds it; None if that cannot be read."""
    for _ in range(10):
        try:
            content = json.loads(os.pread(descriptor, 4 * LOCK_BYTES, 0))
            since = datetime.fromisoformat(content["since"])
            is_starting = bool(content.get("starting", False))
            closed = content.get("closed_until")
            until = datetime.fromisoformat(closed) if closed else None
            device = content.get("runs_on")
            return Running(content["pid"], since, content["notices"], is_starting, until, device)
        except (ValueError, KeyError):  # the daemon is writing it
            time.sleep(0.01)
    return None

"""The home folder: its paths, how it is made, and the lock of the daemon that works on it.

Knows no settings.
"""

import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from daemon.home.clock import local_time
from daemon.home.texts import printable
from learner.catalogue import STARTER, read_manifest
from learner.errors import PassingError, VidwatchError
from learner.files import open_own, write

log = logging.getLogger(__name__)

FOLDERS = ("inbox", "classified", "labelled", "failed", "duplicates", "models")
LONGEST_NAME = 200  # bytes of a model's name: with an ending and a number it is a file's name
LOCK_BYTES = 16384
LONGEST_NOTICE = 300  # bytes
# The disk is full, read-only after a fault, or away.
PASSING = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EIO,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ENODEV,
)


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
        os.pwrite(self._descriptor, data.ljust(LOCK_BYTES), 0)

    def _content(self, longest: int) -> bytes:
        """The file's content, with at most so many bytes of each notice."""
        notices = {key: _shortened(text, longest) for key, text in self.running.notices.items()}
        content = {
            "pid": self.running.pid,
            "since": self.running.since.isoformat(),
            "notices": notices,
            "starting": self.running.is_starting,
        }
        return json.dumps(content, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Home:
    """The folder with all that belongs to one installation."""

    root: Path
    """Absolute, and without links: a home that is reached by two names is one."""

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> "Home":
        """The home at `path`, whatever links lead to it. Nothing is created."""
        return cls(Path(os.path.realpath(Path(path).expanduser())))

    @property
    def inbox(self) -> Path:
        """Where people put videos."""
        return self.root / "inbox"

    @property
    def models(self) -> Path:
        """Where trained models lie."""
        return self.root / "models"

    @property
    def backups(self) -> Path:
        """Where copies of the database lie. Made with the first copy."""
        return self.root / "backups"

    def model(self, name: str) -> Path:
        """The path of a model: in `models/` by its name, or anywhere by its path.

        Raises:
            VidwatchError: no trained model can have this name.
        """
        last = name.rpartition("/")[2]
        fits = 0 < len(os.fsencode(last)) <= LONGEST_NAME
        if fits and not last.startswith("."):
            if "/" in name:
                return Path(name).expanduser()
            if name != "starter":
                return self.models / name
        rule = f"at most {LONGEST_NAME} bytes, no dot at its start, and not 'starter'"
        raise VidwatchError(
            f"{name!r} cannot be the name of a trained model: it must be a name ({rule}), or a"
            " path that ends in a name"
        )

    def model_or_starter(self, name: str) -> Path:
        """As `model`; "starter" is the model in the package."""
        return STARTER if name == "starter" else self.model(name)

    def manifest(self, name: str) -> dict[str, Any]:
        """The manifest of a model, as JSON holds it; `name` is as for `model_or_starter`.

        Raises:
            VidwatchError: it cannot be read.
        """
        return read_manifest(self.model_or_starter(name))

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "vidwatch.db"

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "vidwatch.toml"

    @property
    def applied_pattern(self) -> Path:
        """Holds the group pattern that was applied last, if it was not the default."""
        return self.root / ".group-pattern"

    @property
    def review_key(self) -> Path:
        """Holds the key of the review page, which its owner alone may read."""
        return self.root / ".review-key"

    @property
    def _lock(self) -> Path:
        return self.root / "daemon.lock"

    @property
    def _mounted(self) -> Path:
        return self.root / ".inbox-is-mounted"

    def create(self) -> None:
        """Make the folders and the settings file that are missing.

        If the inbox is a disk of its own, that is noted.

        Raises:
            VidwatchError: a folder or the file cannot be made.
            PassingError: it cannot be made now.
        """
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(self.settings):
                write(self.settings, (files("daemon.home") / "vidwatch.toml").read_bytes())
            if self.inbox.resolve().is_mount():
                os.close(open_own(self._mounted, os.O_WRONLY))
        except FileExistsError as error:
            raise _what_is_in_the_way(Path(error.filename)) from error
        except OSError as error:
            raise self._explained(error, f"cannot make {error.filename}") from error

    def why_no_inbox(self) -> str | None:
        """Why nothing is known of the files in the inbox: it is gone, or not mounted.

        None if the inbox is there.
        """
        inbox = self.inbox.resolve()
        if not inbox.is_dir():
            return f"{self.inbox} is not there: mount it, or make it again"
        if self._mounted.exists() and not inbox.is_mount():
            trouble = f"{self.inbox} was a disk or a share of its own, and is not mounted"
            hint = f"mount it; if it is an ordinary folder now, remove {self._mounted}"
            return f"{trouble}: {hint}"
        return None

    def require(self) -> None:
        """Check that this is a home.

        Raises:
            VidwatchError: it is none; the message names the command that makes one.
        """
        if self.database.is_file():
            return
        command = f"vidwatch init {self.root}"
        if (self.root / "classified").is_dir():
            hint = f"'vidwatch restore' brings a backup back; if there never was one: {command}"
            raise VidwatchError(f"home {self.root} has no database: {hint}")
        raise VidwatchError(f"{self.root} is not a vidwatch home; make it with: {command}")

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Hold this home as its one daemon.

        The kernel removes the lock when the process ends, also when it is killed.

        Raises:
            PassingError: another process holds it, or its disk cannot be written now.
            VidwatchError: this user may not write here.
        """
        cannot_write = f"cannot write {self._lock.name}"
        try:
            descriptor = open_own(self._lock, os.O_RDWR, 0o644)
        except OSError as error:
            raise self._explained(error, cannot_write) from error
        try:
            if not _flock_within(descriptor, fcntl.LOCK_EX, seconds=1):
                holder = _holder(_read_running(descriptor))
                trouble = f"a daemon works on {self.root} already ({holder})"
                raise PassingError(f"{trouble}; stop that one first")
            try:
                lock = Lock(descriptor)
            except OSError as error:
                raise self._explained(error, cannot_write) from error
            yield lock
        finally:
            os.close(descriptor)

    def _explained(self, error: OSError, what: str) -> VidwatchError:
        kind = PassingError if error.errno in PASSING else VidwatchError
        return kind(f"home {self.root}: {what} ({error.strerror})")

    def running(self) -> Running | None:
        """The daemon that works on this home now; None if there is none."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            if _flock_within(descriptor, fcntl.LOCK_SH, seconds=0):
                return None
            return _read_running(descriptor)
        finally:
            os.close(descriptor)


def _what_is_in_the_way(where: Path) -> VidwatchError:
    """Why a folder cannot be made where something else lies."""
    if where.is_symlink():
        trouble = f"{where} is a link to {where.readlink()}, which is not there"
        return PassingError(f"{trouble}; mount it, or correct the link")
    return VidwatchError(f"{where} is not a folder; move it away, or choose another home")


def _holder(running: Running | None) -> str:
    if running is None:
        return "another process"
    return f"process {running.pid}, since {local_time(running.since)}"


def _shortened(text: str, longest: int) -> str:
    """The text in at most so many bytes."""
    return printable(text).encode()[:longest].decode(errors="ignore")


def _flock_within(descriptor: int, kind: int, seconds: float) -> bool:
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


def _read_running(descriptor: int) -> Running | None:
    for _ in range(10):
        try:
            content = json.loads(os.pread(descriptor, 4 * LOCK_BYTES, 0))
            since = datetime.fromisoformat(content["since"])
            is_starting = bool(content.get("starting", False))
            return Running(content["pid"], since, content["notices"], is_starting)
        except (ValueError, KeyError):  # the daemon is writing it
            time.sleep(0.01)
    return None

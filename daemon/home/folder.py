"""The home folder: its paths, how it is made, and the lock of the daemon that works on it.

Knows no settings.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from daemon.home.address import Database, Server, database_of
from daemon.home.clock import local_time
from daemon.home.lock import Lock as Lock
from daemon.home.lock import Running as Running
from daemon.home.lock import flock_within, read_running
from daemon.home.machine import ANOTHER_NAME, machine_name
from learner.catalogue import STARTER, read_manifest
from learner.errors import PassingError, VidwatchError
from learner.files import open_own, write

FOLDERS = ("inbox", "classified", "labelled", "failed", "duplicates", "models")
LONGEST_NAME = 200  # bytes of a model's name: with an ending and a number it is a file's name
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

    @property
    def logs(self) -> Path:
        """Where the daemon of this machine writes its log. Made with the first line."""
        logs = self.root / "logs"
        return logs / machine_name() if isinstance(self.database, Server) else logs

    @property
    def trash(self) -> Path:
        """Where files lie before they are deleted for good. Made with the first one."""
        return self.root / "trash"

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
    def database(self) -> Database:
        """The SQLite file, or the server that the settings name.

        Raises:
            VidwatchError: the settings cannot be read, or name no database.
        """
        return database_of(self.root, self.settings)

    def has_database(self) -> bool:
        """Whether the SQLite file is there. Of a server, only a connection can tell: True."""
        database = self.database
        return isinstance(database, Server) or database.is_file()

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
    def pause(self) -> Path:
        """Holds the pause that a person has asked for; see `pause.py`."""
        return self.root / ".paused"

    @property
    def trouble(self) -> Path:
        """Holds the notices that receivers were told of, and whose end they were not told of."""
        return self.root / ".trouble"

    @property
    def _lock(self) -> Path:
        if isinstance(self.database, Server):  # each machine has a daemon of its own
            return self.root / f"daemon-{machine_name()}.lock"
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
        if self.has_database():
            return
        command = f"vidwatch init {self.root}"
        if (self.root / "classified").is_dir():
            hint = f"'vidwatch restore' brings a backup back; if there never was one: {command}"
            raise VidwatchError(f"home {self.root} has no database: {hint}")
        raise VidwatchError(f"{self.root} is not a vidwatch home; make it with: {command}")

    @contextmanager
    def lock(self, *, is_daemon: bool = True) -> Iterator[Lock]:
        """Hold this home as its one daemon, or as a command that needs no daemon to work on it.

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
            if not flock_within(descriptor, fcntl.LOCK_EX, seconds=1):
                holder = _holder(read_running(descriptor))
                raise PassingError(self._why_held(holder, is_daemon=is_daemon))
            try:
                lock = Lock(descriptor)
            except OSError as error:
                raise self._explained(error, cannot_write) from error
            yield lock
        finally:
            os.close(descriptor)

    def _why_held(self, holder: str, *, is_daemon: bool) -> str:
        if not is_daemon or not isinstance(self.database, Server):
            return f"a daemon works on {self.root} already ({holder}); stop that one first"
        # The lock lies on the share: machines with one name have one lock.
        trouble = f"the machine name {machine_name()} is taken on {self.root}"
        return f"{trouble} by a daemon of this machine or of another one ({holder}); {ANOTHER_NAME}"

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
            if flock_within(descriptor, fcntl.LOCK_SH, seconds=0):
                return None
            return read_running(descriptor)
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

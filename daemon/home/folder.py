"""The home folder: its paths, making it, and the lock that tells whether a daemon works on it. Knows no settings."""

import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from daemon.home.identity import printable
from learner.catalogue import STARTER
from learner.errors import PassingError, VidwatchError
from learner.files import write

log = logging.getLogger(__name__)

FOLDERS = ("inbox", "classified", "labelled", "failed", "duplicates", "models")


LONGEST_NAME = 200  # with an ending, and a number, it is a file's name
LOCK_BYTES = 4096
LONGEST_NOTICE = 300
# A disk that is full, read-only after a fault, or away.
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
    """The daemon that holds a home: its process, since when, and what it has to tell people of itself, by subject."""

    pid: int
    since: datetime
    notices: Mapping[str, str] = field(default_factory=dict)


class Lock:
    """A home that this process holds. What the daemon tells of itself stands in the lock's file.

    Its bytes are taken once, and written over: a full disk is one of the things that there are to tell.
    """

    def __init__(self, descriptor: int) -> None:
        self.running = Running(os.getpid(), datetime.now(UTC))
        self._descriptor, self._writing = descriptor, threading.Lock()
        os.truncate(descriptor, LOCK_BYTES)
        self._write()

    def note(self, subject: str, text: str | None) -> None:
        """Show this in `vidwatch status` until it is None. What is new is logged."""
        with self._writing:
            before = self.running.notices.get(subject)
            if text == before:
                return
            others = {key: told for key, told in self.running.notices.items() if key != subject}
            self.running = Running(
                self.running.pid, self.running.since, {**others, subject: text} if text else others
            )
            self._write()
        if text:
            log.warning("%s: %s", subject, printable(text))
        else:
            log.info("%s: well again (before: %s)", subject, printable(before or ""))

    def _write(self) -> None:
        told = {key: _shortened(text) for key, text in self.running.notices.items()}
        content = {
            "pid": self.running.pid,
            "since": self.running.since.isoformat(),
            "notices": told,
        }
        os.pwrite(
            self._descriptor, json.dumps(content, ensure_ascii=False).encode().ljust(LOCK_BYTES), 0
        )


@dataclass(frozen=True)
class Home:
    """The folder that everything of one installation lies in; `root` is absolute."""

    root: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> "Home":
        """The home at `path`, made absolute; nothing is created."""
        return cls(Path(path).expanduser().absolute())

    @property
    def inbox(self) -> Path:
        """Where people drop videos."""
        return self.root / "inbox"

    @property
    def models(self) -> Path:
        """Where trained models lie."""
        return self.root / "models"

    @property
    def backups(self) -> Path:
        """Where copies of the database lie, once there is one."""
        return self.root / "backups"

    def model(self, name: str) -> Path:
        """A model in `models/` by its name, or any by its path.

        Raises:
            VidwatchError: it can be no model's name.
        """
        last = name.rpartition("/")[2]
        if (
            "/" in name
            and last
            and not last.startswith(".")
            and len(os.fsencode(last)) <= LONGEST_NAME
        ):
            return Path(name).expanduser()
        if (
            "/" in name
            or not name
            or name.startswith(".")
            or name == "starter"
            or len(os.fsencode(name)) > LONGEST_NAME
        ):
            rule = "a name without a dot at its start, other than 'starter', or a path that ends in one"
            raise VidwatchError(
                f"{name!r} cannot be the name of a trained model: it must be {rule}"
            )
        return self.models / name

    def model_or_starter(self, name: str) -> Path:
        """As `model`, where "starter" is the one in the package."""
        return STARTER if name == "starter" else self.model(name)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "vidwatch.db"

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.root / "vidwatch.toml"

    @property
    def _lock(self) -> Path:
        return self.root / "daemon.lock"

    @property
    def _mounted(self) -> Path:
        return self.root / ".inbox-is-mounted"

    def create(self) -> None:
        """Make what is missing of the folders and the settings file, and note whether the inbox is a disk of its own.

        Raises:
            VidwatchError: a folder or the file cannot be made.
            PassingError: as it is now.
        """
        try:
            for name in FOLDERS:
                (self.root / name).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(self.settings):
                write(self.settings, (files("daemon.home") / "vidwatch.toml").read_bytes())
            if self.inbox.resolve().is_mount():
                self._mounted.touch()
        except FileExistsError as error:
            where = Path(error.filename)
            if where.is_symlink():
                hint = "mount it, or mend the link"
                raise PassingError(
                    f"{where} is a link to {where.readlink()}, which is not there; {hint}"
                ) from error
            raise VidwatchError(
                f"{where} is in the way; move it, or choose another home"
            ) from error
        except OSError as error:
            raise self._refusal(error, f"cannot make {error.filename}") from error

    def why_no_inbox(self) -> str | None:
        """Why nothing can be said of files in the inbox: it is gone, or not mounted; None where it is there."""
        inbox = self.inbox.resolve()
        if not inbox.is_dir():
            return f"{self.inbox} is not there: it is to be mounted or made again"
        if self._mounted.exists() and not inbox.is_mount():
            hint = f"where it is an ordinary folder now, remove {self._mounted}"
            return f"{self.inbox} was a disk or a share of its own, and is to be mounted; {hint}"
        return None

    def require(self) -> None:
        """Check that this is a home.

        Raises:
            VidwatchError: it is not, with the command that makes one.
        """
        if not self.database.is_file() and (self.root / "classified").is_dir():
            hint = f"'vidwatch restore' brings a backup back; where there never was one: vidwatch init {self.root}"
            raise VidwatchError(f"home {self.root} has no database: {hint}")
        if not self.database.is_file():
            raise VidwatchError(
                f"{self.root} is not a vidwatch home; make it with: vidwatch init {self.root}"
            )

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """Hold this home as its one daemon. The kernel drops the lock when the process ends, however it ends.

        Raises:
            PassingError: another process holds it, or its disk cannot be written now.
            VidwatchError: this user may not write here.
        """
        try:
            descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._refusal(error, f"cannot write {self._lock.name}") from error
        try:
            if not _flock_within(descriptor, fcntl.LOCK_EX, seconds=1):
                holder = _read_running(descriptor)
                who = (
                    f"process {holder.pid}, since {holder.since:%Y-%m-%d %H:%M} UTC"
                    if holder
                    else "another process"
                )
                raise PassingError(
                    f"a daemon works on {self.root} already ({who}); stop that one first"
                )
            try:
                lock = Lock(descriptor)
            except OSError as error:
                raise self._refusal(error, f"cannot write {self._lock.name}") from error
            yield lock
        finally:
            os.close(descriptor)

    def _refusal(self, error: OSError, what: str) -> VidwatchError:
        kind = PassingError if error.errno in PASSING else VidwatchError
        return kind(f"home {self.root}: {what} ({error.strerror})")

    def running(self) -> Running | None:
        """The daemon that works on this home now."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return (
                None
                if _flock_within(descriptor, fcntl.LOCK_SH, seconds=0)
                else _read_running(descriptor)
            )
        finally:
            os.close(descriptor)


def _shortened(text: str) -> str:
    """So short that all that a daemon may have to tell fits into the lock's bytes."""
    return printable(text).encode()[:LONGEST_NOTICE].decode(errors="ignore")


def _flock_within(descriptor: int, kind: int, seconds: float) -> bool:
    """Take the lock. A `status` that looks holds it for an instant, which must not turn a daemon away."""
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
            return Running(
                content["pid"], datetime.fromisoformat(content["since"]), content["notices"]
            )
        except (ValueError, KeyError):  # it is being written
            time.sleep(0.01)
    return None

"""What SQLite alone knows: how its file is opened, and what its errors mean."""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DatabaseError

from daemon.database.holder import holder
from learner.errors import PassingError, VidwatchError

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
# The last one: a program that was stopped holds a lock that another one needs to begin.
LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
SAFE = "the clips are safe in their folders; 'vidwatch restore' brings the newest backup back"


def connect_file(path: Path, *, read_only: bool, migrates: bool, patience: float) -> Engine:
    """As `connection.connect`, on a SQLite file."""

    def open_file() -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode={mode}",
            uri=True,
            timeout=patience,
            # Transactions begin below, not in the driver: it would begin them as readers and late.
            isolation_level=None,
            check_same_thread=False,
        )
        if not migrates:  # SQLite can only drop a table without them, and not in a transaction
            connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # With NORMAL a power cut can undo a commit whose file has been moved already.
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = create_engine("sqlite://", creator=open_file, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Under plain BEGIN, a transaction that reads before it writes fails if another one wrote
        # in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def explained(error: DatabaseError, path: Path) -> VidwatchError:
    """What an error of the SQLite file at `path` means to people, and what to do about it."""
    reason = str(error.orig)
    if is_damage(error.orig) or _is_empty(path):
        return damaged(path, reason)
    if is_locked(error.orig):
        return PassingError(f"database {path} is in use by {holder(path)}; try again")
    if "unable to open" in reason or "readonly" in reason:
        if _may_write(path):
            return PassingError(f"database {path}: {reason}; try again")
        return VidwatchError(f"database {path}: {reason}; run this as the daemon's user")
    if is_outdated(error.orig):
        hint = f"it is not up to date: run vidwatch init {path.parent}"
        return VidwatchError(f"database {path}: {reason}; {hint}")
    if is_passing(error.orig):
        return PassingError(f"database {path}: {reason}; try again")
    return VidwatchError(f"database {path}: {reason}")


def damaged(path: object, reason: str) -> VidwatchError:
    """The database at `path` is damaged, and what to do."""
    return VidwatchError(f"database {path} is damaged ({reason}): {SAFE}")


def is_locked(error: BaseException | None) -> bool:
    """Whether another program held the file for longer than we wait for it."""
    return getattr(error, "sqlite_errorname", "").startswith(LOCKED)


def is_passing(error: BaseException | None) -> bool:
    """Whether it may pass by itself: the file is locked, its disk full or not answering."""
    name: str = getattr(error, "sqlite_errorname", "")
    return name.startswith((*LOCKED, "SQLITE_FULL", "SQLITE_IOERR"))


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that a file is no database, or an inconsistent one."""
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)


def is_outdated(error: BaseException | None) -> bool:
    """Whether a table or column is missing: an older vidwatch wrote the database."""
    return "no such table" in str(error) or "no such column" in str(error)


def _may_write(path: Path) -> bool:
    """Whether this user may write the database: else that is why it cannot be opened."""
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    mine = [os.access(file, os.R_OK | os.W_OK) for file in files if file.exists()]
    return path.exists() and all(mine) and os.access(path.parent, os.W_OK | os.X_OK)


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size

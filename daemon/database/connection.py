"""Opens the database, and explains its errors to people."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from daemon.database.holder import holder
from learner.errors import PassingError, VidwatchError

DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")
# The last one: a program that was stopped holds a lock that another one needs to begin.
LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
PATIENCE = 30.0  # seconds
SAFE = "the clips are safe in their folders; 'vidwatch restore' brings the newest backup back"


def connect(
    path: Path, *, read_only: bool = False, migrates: bool = False, patience: float = PATIENCE
) -> Engine:
    """An engine on the SQLite file. A writer makes the file; a reader needs it to be there.

    One that `migrates` may replace a table that others refer to. `patience` is how many seconds it
    waits for another program that has locked the database.
    """

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


@contextmanager
def opened(path: Path, *, read_only: bool = False, patience: float = PATIENCE) -> Iterator[Engine]:
    """The database at `path`, for a command; it is closed at the end. `patience`: see `connect`.

    Raises:
        VidwatchError: it is damaged, cannot be opened by this user, or is not up to date.
        PassingError: another program has locked it, or its disk is full or does not answer.
    """
    engine = connect(path, read_only=read_only, patience=patience)
    try:
        with explaining(path):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn the errors of the database at `path` that people can deal with into messages for them.

    Any other error is a bug, and stays as it is.

    Raises:
        VidwatchError: see `explained`.
    """
    try:
        yield
    except DatabaseError as error:
        if isinstance(error, OperationalError) or is_damage(error.orig):
            raise explained(error, path) from error
        raise


def explained(error: DatabaseError, path: Path) -> VidwatchError:
    """What an error of the database at `path` means to people, and what to do about it."""
    reason = str(error.orig)
    if is_damage(error.orig) or _is_empty(path):
        return damaged(path, reason)
    if is_locked(error):
        return PassingError(f"database {path} is in use by {holder(path)}; try again")
    if "unable to open" in reason or "readonly" in reason:
        if _may_write(path):
            return PassingError(f"database {path}: {reason}; try again")
        return VidwatchError(f"database {path}: {reason}; run this as the daemon's user")
    if is_outdated(error):
        hint = f"it is not up to date: run vidwatch init {path.parent}"
        return VidwatchError(f"database {path}: {reason}; {hint}")
    if is_passing(error):
        return PassingError(f"database {path}: {reason}; try again")
    return VidwatchError(f"database {path}: {reason}")


def damaged(path: Path, reason: str) -> VidwatchError:
    """The database at `path` is damaged, and what to do."""
    return VidwatchError(f"database {path} is damaged ({reason}): {SAFE}")


def is_locked(error: DBAPIError) -> bool:
    """Whether another program held the database for longer than we wait for it."""
    return getattr(error.orig, "sqlite_errorname", "").startswith(LOCKED)


def is_passing(error: DBAPIError) -> bool:
    """Whether it may pass by itself: the database is locked, its disk full or not answering."""
    name: str = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith((*LOCKED, "SQLITE_FULL", "SQLITE_IOERR"))


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that a file is no database, or an inconsistent one."""
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)


def is_outdated(error: DBAPIError) -> bool:
    """Whether a table or column is missing: an older vidwatch wrote the database."""
    return "no such table" in str(error.orig) or "no such column" in str(error.orig)


def first_line(error: Exception) -> str:
    """What an error says, in one line: without the SQL, if it is one of the database."""
    if isinstance(error, DBAPIError):
        return str(error.orig)
    text = str(error).partition("\n")[0]
    return text if isinstance(error, VidwatchError) else f"{type(error).__name__}: {text}"


def new_id(result: Any) -> int:
    """The id of the row that was inserted."""
    return int(result.inserted_primary_key[0])


def _may_write(path: Path) -> bool:
    """Whether this user may write the database: else that is why it cannot be opened."""
    files = [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]
    mine = [os.access(file, os.R_OK | os.W_OK) for file in files if file.exists()]
    return path.exists() and all(mine) and os.access(path.parent, os.W_OK | os.X_OK)


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size

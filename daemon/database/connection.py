"""Opens the database, and says what an error of it means."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError


def connect(path: Path, *, read_only: bool = False) -> Engine:
    """An engine on the SQLite file. A writer makes the file; a reader needs it to be there."""

    def open_file() -> sqlite3.Connection:
        mode = "ro" if read_only else "rwc"
        # Transactions are begun below, not by the driver: it would begin them as readers and late.
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            # With NORMAL a power cut can undo a commit whose file has been moved already.
            connection.execute("PRAGMA synchronous = FULL")
        return connection

    engine = create_engine("sqlite://", creator=open_file, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads before it writes fails under plain BEGIN when another one wrote in between.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def is_locked(error: DBAPIError) -> bool:
    """Whether another program held the database for longer than we wait for it."""
    return getattr(error.orig, "sqlite_errorname", "") == "SQLITE_BUSY"


def is_passing(error: DBAPIError) -> bool:
    """Whether it may be otherwise in a while: the database is locked, its disk is full or does not answer."""
    name: str = getattr(error.orig, "sqlite_errorname", "")
    return name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR"))


def new_id(result: Any) -> int:
    """The id of the row that was inserted."""
    return int(result.inserted_primary_key[0])


DAMAGED = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


SAFE = "the clips are safe in their folders; 'vidwatch restore' brings the newest backup back"


def is_damage(error: BaseException | None) -> bool:
    """Whether SQLite says that a file is no database, or one that does not hang together."""
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)

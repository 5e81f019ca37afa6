"""Opens the database, whichever kind it is, and explains its errors to people."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from daemon.database import postgres, sqlite
from daemon.database.sqlite import damaged as damaged
from daemon.database.sqlite import is_damage as is_damage
from daemon.home.address import Database
from learner.errors import VidwatchError

PATIENCE = 30.0  # seconds


def connect(
    database: Database,
    *,
    read_only: bool = False,
    migrates: bool = False,
    patience: float = PATIENCE,
) -> Engine:
    """An engine on the database. A writer makes a SQLite file; a reader needs it to be there.

    One that `migrates` may replace a table that others refer to. `patience` is how many seconds it
    waits for another program that has locked the database.

    Transactions only read, unless the option `writes` is True: then each waits for the one before.
    """
    if isinstance(database, Path):
        return sqlite.connect_file(
            database, read_only=read_only, migrates=migrates, patience=patience
        )
    return postgres.connect_server(database, read_only=read_only, patience=patience)


@contextmanager
def opened(
    database: Database, *, read_only: bool = False, patience: float = PATIENCE
) -> Iterator[Engine]:
    """The database, for a command; it is closed at the end. `patience`: see `connect`.

    Raises:
        VidwatchError: it is damaged, cannot be opened by this user, or is not up to date.
        PassingError: another program has locked it, or its disk or server does not answer.
    """
    engine = connect(database, read_only=read_only, patience=patience)
    try:
        with explaining(database):
            yield engine
    finally:
        engine.dispose()


@contextmanager
def explaining(database: Database) -> Iterator[None]:
    """Turn the errors of the database that people can deal with into messages for them.

    Any other error is a bug, and stays as it is.

    Raises:
        VidwatchError: see `explained`.
    """
    try:
        yield
    except DatabaseError as error:
        if isinstance(error, OperationalError) or is_damage(error.orig):
            raise explained(error, database) from error
        raise


def explained(error: DatabaseError, database: Database) -> VidwatchError:
    """What an error of the database means to people, and what to do about it."""
    if isinstance(database, Path):
        return sqlite.explained(error, database)
    return postgres.explained(error, database)


def is_locked(error: DBAPIError) -> bool:
    """Whether another program held the database for longer than we wait for it."""
    return sqlite.is_locked(error.orig) or postgres.is_locked(error.orig)


def is_passing(error: DBAPIError) -> bool:
    """Whether it may pass by itself: it is locked, its disk full, or its server away."""
    return sqlite.is_passing(error.orig) or postgres.is_passing(error.orig)


def is_away(error: DBAPIError) -> bool:
    """Whether its server does not answer, or will only later."""
    return postgres.is_passing(error.orig)


def is_refused(error: DBAPIError) -> bool:
    """Whether its server will not let us in until a person corrects something."""
    return postgres.is_refused(error.orig)


def is_read_only(error: DBAPIError) -> bool:
    """Whether its server takes no changes, as a replica."""
    return postgres.is_read_only(error.orig)


def is_outdated(error: DBAPIError) -> bool:
    """Whether a table or column is missing: an older vidwatch wrote the database."""
    return sqlite.is_outdated(error.orig) or postgres.is_outdated(error.orig)


def reason_of(error: DBAPIError) -> str:
    """What the database says, in one line, without the SQL."""
    return postgres.one_line(error.orig)


def first_line(error: Exception) -> str:
    """What an error says, in one line: without the SQL, if it is one of the database."""
    if isinstance(error, DBAPIError):
        return reason_of(error)
    text = str(error).partition("\n")[0]
    return text if isinstance(error, VidwatchError) else f"{type(error).__name__}: {text}"


def new_id(result: Any) -> int:
    """The id of the row that was inserted."""
    return int(result.inserted_primary_key[0])

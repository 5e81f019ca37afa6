"""Moves the database of a home: from its SQLite file to a PostgreSQL server, or back.

What is copied is compared with the original before anything uses it. A move that was ended goes on
where it was. The files of the home stay where they are.
"""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, delete, insert, select, update

from daemon.database.connection import explaining, opened
from daemon.database.root import follow_home
from daemon.database.row_copy import RowCopy, is_same, rows_of_all
from daemon.database.session import alone, without_daemons
from daemon.database.tables import home as home_table
from daemon.database.upgrade import migrate, upgrade
from daemon.home.address import Database, Server, has_password, server_at
from daemon.home.folder import Home
from daemon.home.moving import sync_folders
from daemon.home.settings import load, write_setting
from daemon.maintenance.replaced_file import set_aside
from learner.errors import VidwatchError

SQLITE = "sqlite"
"""The name of the SQLite file, as a place to move to."""
MOVED = "moved to a SQLite file"
COPYING = ".copying"  # ends the name of a SQLite file that is not whole yet

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Migrated:
    """What was done."""

    database: Database
    """Where the database is now."""
    rows: int
    """How many rows it has."""
    kept: Path | None
    """Where the SQLite file is kept that it was before; None if it was on a server."""
    is_set: bool
    """Whether the settings name it now. If not, a person has to write that."""


def migrate_database(home: Home, to: str, now: datetime, progress: Progress) -> Migrated:
    """Copy the database to another place, compare the two, and let the settings name the new one.

    Args:
        home: The home. No daemon may run.
        to: The address of a server, or "sqlite".
        now: The time in the name under which a SQLite file is kept.
        progress: Called with the number of rows that were copied or compared, and of how many.

    Raises:
        VidwatchError: the new place has another database, or the copy differs.
        PassingError: a daemon runs, or a server is away.
    """
    with alone(home), ExitStack() as stack:
        source = home.database
        target = _named(home, to)
        if str(source) == str(target):
            raise VidwatchError(f"the database of {home.root} is {target} already")
        stack.enter_context(explaining(target))
        if isinstance(target, Server):
            # The settings of another machine may name it already: a daemon there would work on half
            # of the rows. Refused, too, if it is the source by another name.
            stack.enter_context(without_daemons(target))
        place = _place_for_copy(target)
        with explaining(source):
            upgrade(source)
        with opened(source) as engine:
            follow_home(engine, home.root)
        migrate(place)
        with opened(source, read_only=True) as old, opened(place) as new:
            rows = _copy(old, new, home.root, place, progress)
        return _use(home, source, target, rows, now)


def _named(home: Home, to: str) -> Database:
    """The database that a person names.

    Raises:
        VidwatchError: it is no address, or has the password in it.
    """
    if to == SQLITE:
        return home.root / "vidwatch.db"
    if has_password(to):
        hint = "others see the words of a command; PGPASSWORD or database_password_file may hold it"
        raise VidwatchError(f"migrate-db: leave the password out of the address: {hint}")
    return server_at(to, home.root, load(home.settings).database_password_file)


def _place_for_copy(target: Database) -> Database:
    """Where the copy is made: a SQLite file gets its name when it is whole.

    Raises:
        VidwatchError: there is such a file.
    """
    if isinstance(target, Server):
        return target
    if target.exists():
        hint = "move it away: it may have labels that the server does not have"
        raise VidwatchError(f"there is a database {target} already; {hint}")
    return target.with_name(target.name + COPYING)


def _copy(old: Engine, new: Engine, root: Path, place: Database, progress: Progress) -> int:
    """Copy all rows, unless that was done before; gives how many there are.

    The row of the table `home` is written last: a database without it is no home's.

    Raises:
        VidwatchError: the new place belongs to a home, or the copy differs from the original.
    """
    with old.begin() as reading:
        with new.begin() as connection:
            noted = connection.execute(select(home_table.c.mark)).first()
            if noted and not is_same(reading, connection, progress):
                hint = "name an empty database"
                raise VidwatchError(f"database {place} belongs to a home; {hint}")
        if not noted:
            RowCopy(reading, new, progress).run()
        if not noted or noted.mark == MOVED:  # it was moved away from there, and comes back
            _note_home(new, root)
        return rows_of_all(reading)


def _note_home(new: Engine, root: Path) -> None:
    with new.execution_options(writes=True).begin() as connection:
        connection.execute(delete(home_table))
        if new.dialect.name == "sqlite":
            connection.execute(insert(home_table).values(root=os.fsencode(root)))
    if new.dialect.name != "sqlite":
        follow_home(new, root)  # with the mark that tells the home from others


def _retire(server: Server) -> None:
    """Let no daemon of another machine go on with a database that was moved away."""
    with opened(server) as engine, engine.execution_options(writes=True).begin() as connection:
        connection.execute(update(home_table).values(mark=MOVED))


def _use(home: Home, source: Database, target: Database, rows: int, now: datetime) -> Migrated:
    """Let the new database be the home's. The old one is kept, under another name if it is a file.

    The settings change first: if this is ended in between, an old file lies beside the new database
    and is not used.
    """
    if isinstance(target, Path):
        target.with_name(target.name + COPYING).replace(target)
        sync_folders({os.fsencode(home.root)})
    url = str(target) if isinstance(target, Server) else ""
    is_set = home.database == target or write_setting(home.settings, "database", url)
    if isinstance(source, Server):
        _retire(source)
    kept = set_aside(source, now) if isinstance(source, Path) and is_set else None
    return Migrated(target, rows, kept, is_set and str(home.database) == str(target))

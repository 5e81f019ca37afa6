"""Puts a new SQLite file in the place of a home's database, and keeps the old one beside it."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import inspect
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.copying import copy
from daemon.database.integrity import damage, require_local
from daemon.database.upgrade import RESTORING, migrate, revision_of
from daemon.home.moving import sync_folders
from daemon.maintenance.backup import require_kind
from learner.errors import VidwatchError

HEADER = b"SQLite format 3\0"
# What SQLite keeps beside a database. The order matters, see `set_aside`.
_BESIDE = ("-wal", "-shm", "-journal")


class FileReplacement:
    """A restore of a SQLite file. The new one is made ready under another name, `fresh`."""

    def __init__(self, database: Path) -> None:
        """Nothing is changed yet."""
        self._database = database
        self.fresh = database.with_name(database.name + RESTORING)

    def begin(self, source: Path | None, now: datetime) -> Path | None:
        """Make `fresh` of a backup, or empty; set the old database aside, and give its new path.

        Raises:
            VidwatchError: the backup cannot be used, or another program has the database open; it
                stays where it is.
        """
        require_local(self._database.parent)
        _remove(self.fresh)
        if source:
            self._copy_backup(source)
        migrate(self.fresh)
        try:
            return set_aside(self._database, now)
        except VidwatchError:
            _remove(self.fresh)
            raise

    def finish(self, now: datetime) -> None:
        """Put `fresh` in the place of the database."""
        set_aside(self._database, now)  # a command that ran meanwhile has made an empty one
        self.fresh.replace(self._database)
        sync_folders({os.fsencode(self._database.parent)})

    def _copy_backup(self, source: Path) -> None:
        """Copy a backup, if it is whole and a database of vidwatch."""
        require_kind(source, HEADER, "is no database of vidwatch, nor any other")
        if source.resolve() == self._database.resolve():
            raise VidwatchError(f"backup {source} is the database itself; name a copy of it")
        fresh = self.fresh
        try:
            copy(source, fresh)
            if problems := damage(fresh, thorough=True):
                raise VidwatchError(f"backup {source} is damaged ({problems[0]}); name another one")
            if not _is_of_vidwatch(fresh):
                problem = "is no database of vidwatch, but of another program"
                raise VidwatchError(f"backup {source} {problem}; name another one")
            revision_of(fresh)  # refuses a schema that this program does not know
        except VidwatchError as error:
            fresh.unlink(missing_ok=True)
            raise VidwatchError(str(error).replace(str(fresh), str(source))) from error


def _is_of_vidwatch(database: Path) -> bool:
    with opened(database, read_only=True) as engine:
        return {"videos", "alembic_version"} <= set(inspect(engine).get_table_names())


def set_aside(database: Path, now: datetime) -> Path | None:
    """Keep the database that is there under another name, with the files that belong to it.

    Gives that name; None if there is no database.
    """
    kept = database.with_name(f"{database.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    while kept.exists():
        kept = kept.with_name(kept.name + "-2")
    if not any(path.exists() for path in _with_beside(database)):
        return None
    if database.exists() and not _is_damaged(database):
        _write_log_into(database)
    # The database last: without it no daemon starts. A log that is left beside another database
    # would be applied to that one.
    for suffix in (*_BESIDE, ""):
        path = database.with_name(database.name + suffix)
        if path.exists():
            path.rename(kept.with_name(kept.name + suffix))
    sync_folders({os.fsencode(database.parent)})
    return kept if kept.exists() else None


def _write_log_into(database: Path) -> None:
    """Write what is in SQLite's log into the database.

    Raises:
        VidwatchError: another program has it open.
    """
    try:
        uri = f"file:{quote(os.fsencode(database))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=2, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        hint = "end what has it open (vidwatch review, a database browser), and try again"
        problem = f"database {database} cannot be replaced now ({error})"
        raise VidwatchError(f"{problem}; {hint}") from error


def _is_damaged(database: Path) -> bool:
    """Whether it is better kept as it is, with its log beside it."""
    try:
        return bool(damage(database))
    except DatabaseError:
        return True


def _with_beside(database: Path) -> list[Path]:
    return [database, *(database.with_name(database.name + suffix) for suffix in _BESIDE)]


def _remove(database: Path) -> None:
    for path in _with_beside(database):
        path.unlink(missing_ok=True)

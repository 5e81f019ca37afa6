"""Puts a backup in the place of the database, and makes no label of what was filed since.

To the daemon, a file in a class folder that no row explains is a label. So the files that a
restored database cannot explain go back to the inbox. Files that lie elsewhere than their rows say
are moved there again. `reconcile.py` does that.
"""

import logging
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Table, func, inspect, select
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.copying import copy
from daemon.database.daemons import alone
from daemon.database.integrity import damage, require_local
from daemon.database.root import follow_home
from daemon.database.tables import labels, videos
from daemon.database.upgrade import RESTORING, migrate, revision_of
from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.moving import sync_folders
from daemon.labels.groups import applied_pattern, apply_pattern
from daemon.maintenance.backup import backups_in
from daemon.maintenance.reconcile import (
    Progress,
    count_lost_labels,
    note_labels,
    sort_files,
)
from daemon.training.decisions import Decisions
from learner.errors import VidwatchError
from learner.groups import compile_pattern

log = logging.getLogger(__name__)

HEADER = b"SQLite format 3\0"
# What SQLite keeps beside a database. The order matters, see `set_aside`.
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Restored:
    """What a restore has done."""

    source: Path | None
    """The backup; None for a new database."""
    kept: Path | None
    """Where the database lies that was there before; None if there was none."""
    videos: int
    """How many videos the restored database has."""
    labels: int
    """How many labels the restored database has."""
    champion: str | None
    """The model in use; None for a new database."""
    put_back: int
    """How many files it does not know: they went to the inbox."""
    returned: int
    """How many files lay elsewhere than their rows say: the daemon moves them there."""
    noted: int
    """How many labels were found by files in `labelled/` that it does not know."""
    lost: int | None
    """How many labels only the database before has; None if there was none, or it is damaged."""


def restore(
    home: Home,
    file: Path | None,
    now: datetime,
    progress: Progress = lambda done, total: None,
    *,
    new: bool = False,
) -> Restored:
    """Put a backup in the place of the database.

    It can be repeated, wherever it was ended. Until it is done, no daemon starts.

    Args:
        home: The home.
        file: The backup; the newest that is whole if None.
        now: The time in the name under which the database is kept that was there before.
        progress: Called with the number of files that were looked at, and None.
        new: Whether to begin with an empty database instead.

    Raises:
        VidwatchError: a daemon runs, there is no backup that can be used, or a file cannot be
            moved.
    """
    require_local(home.root)
    pattern = compile_pattern(settings.load(home.settings).group_pattern)
    with alone(home):
        source = None if new else (file or _newest_whole(home, now))
        fresh = home.database.with_name(home.database.name + RESTORING)
        _prepare(fresh, source, home)
        try:
            kept = set_aside(home.database, now)
        except VidwatchError:  # the database stays where it is, and nothing was begun
            _remove(fresh)
            raise
        try:
            restored = _reconcile(home, fresh, pattern, source, kept, progress)
            set_aside(home.database, now)  # a command that ran meanwhile has made an empty one
            fresh.replace(home.database)
            sync_folders({os.fsencode(home.root)})
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            hint = "repair that and give the same command again"
            safe = "nothing is lost, and no daemon starts before"
            raise VidwatchError(f"restore: {where}{error.strerror}; {hint}; {safe}") from error
        return restored


def _newest_whole(home: Home, now: datetime) -> Path:
    for path in backups_in(home.backups, now):
        try:
            problems = damage(path, thorough=True)
        except DatabaseError as error:
            problems = [str(error.orig)]
        if not problems:
            return path
        log.warning("backup %s is left out: %s", path, problems[0])
    hint = (
        "name one, or begin without: 'vidwatch restore --new' "
        "(the clips stay, and are classified again)"
    )
    raise VidwatchError(f"there is no backup in {home.backups} that can be used; {hint}")


def _prepare(fresh: Path, source: Path | None, home: Home) -> None:
    """Make the database at `fresh`: of the backup, or an empty one, and up to date."""
    _remove(fresh)
    if source:
        _copy_backup(source, fresh, home)
    migrate(fresh)


def _copy_backup(source: Path, fresh: Path, home: Home) -> None:
    """Copy a backup to `fresh`, if it is whole and a database of vidwatch."""
    _require_sqlite(source)
    if source.resolve() == home.database.resolve():
        raise VidwatchError(f"backup {source} is the database itself; name a copy of it")
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


def _require_sqlite(source: Path) -> None:
    if source.is_dir():
        raise VidwatchError(f"backup {source} is a folder; name a file in it")
    if not source.is_file():
        raise VidwatchError(f"backup {source}: there is no such file")
    try:
        with source.open("rb") as file:
            is_database = file.read(len(HEADER)) == HEADER
    except OSError as error:
        raise VidwatchError(f"backup {source}: cannot be read ({error.strerror})") from error
    if not is_database:
        problem = "is no database of vidwatch, nor any other"
        raise VidwatchError(f"backup {source} {problem}; name another one")


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


def _reconcile(
    home: Home,
    fresh: Path,
    pattern: re.Pattern[str],
    source: Path | None,
    kept: Path | None,
    progress: Progress,
) -> Restored:
    """Make files and rows fit together.

    Args:
        home: The home.
        fresh: The database that is being restored.
        pattern: The setting `group_pattern`.
        source: The backup that it was made of.
        kept: The database that was there before.
        progress: As for `restore`.

    Raises:
        OSError: a file cannot be moved.
    """
    with opened(fresh) as engine:
        follow_home(engine, home.root)
        n_put_back, returned = sort_files(engine, home, progress)
        noted = note_labels(engine, home, pattern)
        # The backup may be of a time when groups were found by another one.
        before = compile_pattern(applied_pattern(home))
        with engine.execution_options(writes=True).begin() as connection:
            apply_pattern(connection, os.fsencode(home.root), pattern, before)
        with engine.begin() as connection:
            n_videos = _count(connection, videos)
            n_labels = _count(connection, labels)
        return Restored(
            source=source,
            kept=kept,
            videos=n_videos,
            labels=n_labels,
            champion=Decisions(engine).champion(),
            put_back=n_put_back,
            returned=returned,
            noted=noted,
            lost=count_lost_labels(kept, engine),
        )


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0

"""Puts a backup in the place of the database, and makes no label of what was filed since.

To the daemon, a file in a class folder that no row explains is a label. So the files that a
restored database cannot explain go back to the inbox. Files that lie elsewhere than their rows say
are moved there again. `reconcile.py` does that.
"""

import logging
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.copying import ending_of
from daemon.database.integrity import damage
from daemon.database.root import follow_home
from daemon.database.session import alone
from daemon.database.tables import labels, videos
from daemon.home import settings
from daemon.home.address import Database
from daemon.home.folder import Home
from daemon.labels.groups import applied_pattern, apply_pattern
from daemon.maintenance.backup import backups_in
from daemon.maintenance.reconcile import (
    Progress,
    count_lost_labels,
    note_labels,
    sort_files,
)
from daemon.maintenance.replaced_content import ContentReplacement
from daemon.maintenance.replaced_file import FileReplacement
from daemon.training.decisions import Decisions
from learner.errors import VidwatchError
from learner.groups import compile_pattern

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """What a restore has done."""

    source: Path | None
    """The backup; None for a new database."""
    kept: Database | None
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
    database = home.database
    replacement: FileReplacement | ContentReplacement
    if isinstance(database, Path):
        replacement = FileReplacement(database)
    else:
        replacement = ContentReplacement(database)
    pattern = compile_pattern(settings.load(home.settings).group_pattern)
    with alone(home):
        source = None if new else (file or _newest_whole(home, now))
        kept = replacement.begin(source, now)
        try:
            restored = _reconcile(home, replacement.fresh, pattern, source, kept, progress)
            replacement.finish(now)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            hint = "repair that and give the same command again"
            safe = "nothing is lost, and no daemon starts before"
            raise VidwatchError(f"restore: {where}{error.strerror}; {hint}; {safe}") from error
        return restored


def _newest_whole(home: Home, now: datetime) -> Path:
    for path in backups_in(home.backups, now, ending_of(home.database)):
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


def _reconcile(
    home: Home,
    fresh: Database,
    pattern: re.Pattern[str],
    source: Path | None,
    kept: Database | None,
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

"""Puts a backup in the place of the database, so that no file that was filed since counts as a person's word.

A file in a class folder that no row explains is a label, to the daemon. What a restored database cannot explain goes
back to the inbox; files whose rows say that they lie elsewhere are moved there again.
"""

import logging
import os
import re
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Engine, func, inspect, select, update
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.copying import copy
from daemon.database.files import follow_home, predicted_row, unexplained
from daemon.database.integrity import damage, require_local
from daemon.database.tables import labels, videos
from daemon.database.upgrade import RESTORING, migrate, revision_of
from daemon.home import settings
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found, files_below, group_at
from daemon.home.identity import display_name, identify
from daemon.home.moving import put_back, reason_texts, sync_folders
from daemon.labels.class_folders import ClassFolders
from daemon.labels.queries import newest
from daemon.maintenance.backup import found
from daemon.training.decisions import Decisions
from learner.errors import VidwatchError
from learner.groups import compile_pattern

log = logging.getLogger(__name__)

HEADER = b"SQLite format 3\0"
_BESIDE = (
    "-wal",
    "-shm",
    "-journal",
)  # what SQLite keeps beside a database; the order matters, see `_set_aside`


@dataclass(frozen=True)
class Restored:
    """What a restore has done.

    `source` is the backup, None for a new database; `kept` is where the database lies that was there. `videos` and
    `labels` are how many it has; `put_back` files went to the inbox, `returned` ones go where their row says, and
    `noted` ones in `labelled/` were labelled since. `lost` are labels that only the database has that was there; None
    where that cannot be read.
    """

    source: Path | None
    kept: Path | None
    videos: int
    labels: int
    champion: str | None
    put_back: int
    returned: int
    noted: int
    lost: int | None


def restore(home: Home, file: Path | None, now: datetime, *, new: bool = False) -> Restored:
    """Bring the database of `file` back, or the newest backup that is whole; with `new`, begin with an empty one.

    It can be repeated, wherever it was ended: until it is done, no daemon starts.

    Raises:
        VidwatchError: a daemon runs, there is no backup that could be used, or a file cannot be moved.
    """
    require_local(home.root)
    pattern = compile_pattern(settings.load(home.settings).group_pattern)
    with home.lock():
        source = None if new else (file or _newest_whole(home, now))
        fresh = home.database.with_name(home.database.name + RESTORING)
        for path in _with_beside(fresh):
            path.unlink(missing_ok=True)
        if source:
            _take(source, fresh, home)
        migrate(fresh)
        kept = _set_aside(home.database, now)
        try:
            restored = _reconcile(home, fresh, pattern, source, kept)
            _set_aside(home.database, now)  # a command that ran meanwhile has made an empty one
            fresh.replace(home.database)
            sync_folders({os.fsencode(home.root)})
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            hint = "mend that and give the same command again; nothing is lost, and no daemon starts before"
            raise VidwatchError(f"restore: {where}{error.strerror}; {hint}") from error
        return restored


def _newest_whole(home: Home, now: datetime) -> Path:
    for path in found(home.backups, now):
        try:
            if not (problem := damage(path, thorough=True)):
                return path
        except DatabaseError as error:
            problem = [str(error.orig)]
        log.warning("backup %s is left out: %s", path, problem[0])
    hint = "name one, or begin without: 'vidwatch restore --new' (the clips stay, and are answered anew)"
    raise VidwatchError(f"there is no backup in {home.backups} that could be used; {hint}")


def _take(source: Path, fresh: Path, home: Home) -> None:
    """Copy a backup to where it is prepared."""
    _require_database(source)
    if source.resolve() == home.database.resolve():
        raise VidwatchError(f"backup {source} is the database itself; name a copy of it")
    try:
        copy(source, fresh)
        if problem := damage(fresh, thorough=True):
            raise VidwatchError(f"backup {source} is damaged ({problem[0]}); name another one")
        if not _is_ours(fresh):
            raise VidwatchError(
                f"backup {source} is no database of vidwatch, but of another program; name another one"
            )
        revision_of(fresh)  # one that this program does not know is refused here
    except VidwatchError as error:
        fresh.unlink(missing_ok=True)
        raise VidwatchError(str(error).replace(str(fresh), str(source))) from error


def _require_database(source: Path) -> None:
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
        raise VidwatchError(
            f"backup {source} is no database of vidwatch, nor any other; name another one"
        )


def _is_ours(database: Path) -> bool:
    with opened(database, read_only=True) as engine:
        return {"videos", "alembic_version"} <= set(inspect(engine).get_table_names())


def _set_aside(database: Path, now: datetime) -> Path | None:
    """Keep the database that is there under another name, with what belongs to it; gives that, None where is none."""
    kept = database.with_name(f"{database.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    while kept.exists():
        kept = kept.with_name(kept.name + "-2")
    if not any(path.exists() for path in _with_beside(database)):
        return None
    if database.exists() and not _is_damaged(database):
        _fold_in(database)
    # The database last: without it no daemon starts, and its log beside another database would be applied to that.
    for suffix in (*_BESIDE, ""):
        path = database.with_name(database.name + suffix)
        if path.exists():
            path.rename(kept.with_name(kept.name + suffix))
    sync_folders({os.fsencode(database.parent)})
    return kept if kept.exists() else None


def _fold_in(database: Path) -> None:
    """Write what is in the log into the database, which also shows whether another program has it open."""
    try:
        uri = f"file:{quote(str(database))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=2, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as error:
        hint = "end what has it open (vidwatch review, a database browser), and try again"
        raise VidwatchError(
            f"database {database} cannot be replaced now ({error}); {hint}"
        ) from error


def _is_damaged(database: Path) -> bool:
    """Whether it is better kept as it is, with its log beside it."""
    try:
        return bool(damage(database))
    except DatabaseError:
        return True


def _with_beside(database: Path) -> list[Path]:
    return [database, *(database.with_name(database.name + suffix) for suffix in _BESIDE)]


def _reconcile(
    home: Home, fresh: Path, pattern: re.Pattern[str], source: Path | None, kept: Path | None
) -> Restored:
    with opened(fresh) as engine:
        follow_home(engine, home.root)
        texts = reason_texts(home.root / "failed")
        ours = {text for some in texts.values() for text in some}
        back = returned = 0
        for top in ("classified", "duplicates", "failed"):
            for files in files_below(home.root / top):
                files = [file for file in files if file.path not in ours]
                strangers, followed = _sort(engine, Folders(home.root), files)
                returned += followed
                for file in strangers:
                    back += put_back(file, home.inbox) is not None
                    for reason in texts.get(file.path, ()):
                        Path(os.fsdecode(reason)).unlink()
        noted = _note_labels(engine, home, pattern)
        with engine.begin() as read:
            n, said = (
                read.scalar(select(func.count()).select_from(table)) or 0
                for table in (videos, labels)
            )
        lost = _lost(kept, engine)
        return Restored(
            source, kept, n, said, Decisions(engine).champion(), back, returned, noted, lost
        )


def _lost(kept: Path | None, engine: Engine) -> int | None:
    """How many labels of the database that was there no file of their clips has any more."""
    if kept is None:
        return None
    try:
        with opened(kept, read_only=True) as before:
            was = _labelled(before)
    except VidwatchError:  # damaged, or of an older vidwatch
        return None
    still = set[Any]().union(*_labelled(engine))
    return sum(not files & still for files in was)


def _labelled(engine: Engine) -> list[set[Any]]:
    """For each label that counts: what it says, with size and date of each file of its content, wherever that lies."""
    said = newest().subquery()
    of_content = func.coalesce(videos.c.duplicate_of, videos.c.id) == said.c.video_id
    columns = said.c.video_id, videos.c.size, videos.c.mtime_ns, said.c.verdict, said.c["class"]
    files: dict[int, set[Any]] = defaultdict(set)
    with engine.begin() as read:
        for video, *file in read.execute(select(*columns).join(videos, of_content)):
            files[video].add(tuple(file))
    return list(files.values())


def _sort(engine: Engine, folders: Folders, files: Sequence[Found]) -> tuple[list[Found], int]:
    """The files that the database does not know; of those that it knows under other names, the rows follow."""
    strangers, followed = [], 0
    with engine.execution_options(writes=True).begin() as write:
        for file in unexplained(write, files):
            row = predicted_row(write, file)
            if (
                row is None or identify(row.path) == file.identity
            ):  # a second name of a file is a copy
                strangers.append(file)
                continue
            same_folder = folders.class_folder(row.path) == folders.class_folder(file.path)
            is_filed = (
                folders.class_folder(row.path) or os.path.dirname(row.path) == folders.duplicates()
            )
            back = row.destination or (row.path if is_filed and not same_folder else None)
            change = {"path": file.path, "name": display_name(file.path), "destination": back}
            write.execute(update(videos).where(videos.c.id == row.id).values(**change))
            followed += back is not None
    return strangers, followed


def _note_labels(engine: Engine, home: Home, pattern: re.Pattern[str]) -> int:
    """Note what files in `labelled/` say that the backup does not know, as the daemon would.

    It would take each unknown one for a clip that came with its label, by which models are judged; but it may be a
    correction of an answer that the backup does not know, and corrections do not judge.
    """
    class_folders = ClassFolders(engine, Folders(home.root))
    root = os.fsencode(home.root)
    with engine.begin() as read:
        last = read.scalar(select(func.max(labels.c.id))) or 0
    for files in files_below(home.root / "labelled"):
        grouped = [file._replace(group=group_at(file.path, root, pattern)) for file in files]
        class_folders.notice(grouped, datetime.now(UTC))
    with engine.execution_options(writes=True).begin() as write:
        since = update(labels).where(labels.c.id > last, labels.c.source == "folder")
        write.execute(since.values(source="moved"))
        return write.scalar(select(func.count()).where(labels.c.id > last)) or 0

"""Notices that a person has renamed a whole class folder, which labels none of its clips.

Among the clips of `classified/Biking/` are those that the model got wrong. If the folder gets
another name, that says nothing of each clip: the class may have been renamed. `vidwatch status`
asks, and `vidwatch classes rename` answers.
"""

import contextlib
import os
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from daemon.database.expressions import lies_below
from daemon.database.tables import renamed_folders, videos
from daemon.home.folders import UNSURE, ClassFolder, Folders
from daemon.home.identity import Identity, is_there, lies_at, version_of
from daemon.labels.classes import offered_classes

LOOKED_AT = 100  # files that may have been in a folder before


def is_renaming(
    connection: Connection, folders: Folders, row: Any, path: bytes, now: datetime
) -> bool:
    """Whether a file was found at another path since its whole class folder was renamed.

    The other folder is new, and the file lies in the same place in it, with the other files of the
    folder where it was. That folder is gone, or vidwatch has made it again for newer files. This is
    then noted, so that people are asked.

    Args:
        connection: In a transaction that writes.
        folders: The home's folders.
        row: The file's video, as `find` gives it: `id`, the former `path`, and its times.
        path: Where the file is.
        now: When it was found.
    """
    old = folders.class_folder(row["path"])
    new = folders.class_folder(path)
    if old is None or new is None or old[0] != new[0] or old[1] == new[1]:
        return False
    if _within(folders, row["path"], old) != _within(folders, path, new):
        return False
    # What was filed later was not in the folder then: a person has moved it by itself.
    since = row["finished_at"] or row["arrived_at"]
    if _is_noted(connection, old, new, since) or _is_noted(connection, new, old, since):
        return True  # or the person has taken it back
    if _had_files(connection, folders, new, row["id"]):
        return False
    if not _others_went_along(connection, folders, row["id"], path, (old, new)):
        return False
    connection.execute(delete(renamed_folders).where(_is_note_of(old, new)))  # an older one
    columns = {"kind": old[0], "old": old[1], "new": new[1], "seen_at": now}
    connection.execute(insert(renamed_folders).values(**columns))
    return True


def forget_undone(connection: Connection, folders: Folders) -> None:
    """Forget the renamed folders that have their former names again."""
    for row in connection.execute(select(renamed_folders)).all():
        new = (row.kind, row.new)
        below = lies_below(videos.c.path, _path(folders, new))
        has_rows = connection.execute(select(videos.c.id).where(below).limit(1)).first()
        if not has_rows and not exists(folders, new):
            this = renamed_folders.c.id == row.id
            connection.execute(delete(renamed_folders).where(this))


def questions(connection: Connection, root: Path) -> list[str]:
    """The questions about renamed folders of the home at `root`: a line for each."""
    rows = connection.execute(select(renamed_folders).order_by(renamed_folders.c.id)).all()
    if not rows:
        return []
    existing = set(offered_classes(connection))
    return [_question(row, existing) for row in rows if exists(Folders(root), (row.kind, row.new))]


def _question(row: Any, existing: set[str]) -> str:
    text = f"folder {row.kind}/{row.old} was renamed to {row.new}, which labels none of its clips"
    back = "else give it its former name"
    if os.fsdecode(UNSURE) in (row.old, row.new):
        return f"{text}: to label them, move them to class folders one by one; {back}"
    verb = "merge" if row.new in existing else "rename"
    command = f"vidwatch classes {verb} {quote(row.old)} {quote(row.new)}"
    return f"{text}: is that the class's name from now on? If so: {command}; {back}"


def _is_noted(connection: Connection, old: ClassFolder, new: ClassFolder, since: datetime) -> bool:
    """Whether it was noted after the time `since` that the folder `old` was renamed to `new`."""
    is_later = renamed_folders.c.seen_at > since
    noted = select(renamed_folders.c.id).where(_is_note_of(old, new), is_later)
    return connection.execute(noted).first() is not None


def _is_note_of(old: ClassFolder, new: ClassFolder) -> ColumnElement[bool]:
    return and_(
        renamed_folders.c.kind == old[0],
        renamed_folders.c.old == old[1],
        renamed_folders.c.new == new[1],
    )


def _others_went_along(
    connection: Connection,
    folders: Folders,
    video: int,
    path: bytes,
    renamed: tuple[ClassFolder, ClassFolder],
) -> bool:
    """Whether the other files of a folder were renamed with it, as far as there were others.

    Args:
        connection: To the database.
        folders: The home's folders.
        video: The video whose file was found.
        path: Where it was found.
        renamed: The folder where it was, and the one where it is.
    """
    old, new = renamed
    is_other = and_(videos.c.id != video, videos.c.state != "failed")
    in_old = and_(is_other, lies_below(videos.c.path, _path(folders, old)))
    columns = (videos.c.path, videos.c.inode, videos.c.size, videos.c.mtime_ns)
    newest_first = select(*columns).where(in_old).order_by(videos.c.id.desc()).limit(LOOKED_AT)
    others = connection.execute(newest_first).all()
    is_gone = not exists(folders, old)
    staying = [] if is_gone else [other.path for other in others if is_there(other.path)]
    target = _path(folders, new)
    has_moved = any(
        lies_at(
            target + _within(folders, other.path, old),
            Identity(None, other.inode, other.size, other.mtime_ns),
        )
        for other in others
        if other.path not in staying
    )
    if is_gone:
        return has_moved or not others
    # A file that is moved by itself is changed then: what it left behind was changed before it.
    changed = _changed_at(path)
    return has_moved and bool(staying) and all(_changed_at(other) >= changed for other in staying)


def _changed_at(path: bytes) -> int:
    """When the file at a path, or its name, was changed last, in nanoseconds; 0 if not known."""
    with contextlib.suppress(OSError):
        version = version_of(path)
        return version.ctime_ns if version else 0
    return 0


def _had_files(connection: Connection, folders: Folders, folder: ClassFolder, but_for: int) -> bool:
    """Whether a folder has files that were in it before: it is not a new one."""
    other = and_(videos.c.id != but_for, lies_below(videos.c.path, _path(folders, folder)))
    paths = connection.scalars(select(videos.c.path).where(other).limit(LOOKED_AT))
    return any(is_there(path) for path in paths)


def exists(folders: Folders, folder: ClassFolder) -> bool:
    """Whether there is a class folder of exactly this name, also if names have no case."""
    path = _path(folders, folder)
    try:
        return os.path.basename(path) in os.listdir(os.path.dirname(path))
    except OSError:
        return True


def _within(folders: Folders, path: bytes, folder: ClassFolder) -> bytes:
    return path[len(_path(folders, folder)) :]


def _path(folders: Folders, folder: ClassFolder) -> bytes:
    return b"/".join((folders.root, *map(os.fsencode, folder)))

"""Reads what people say by putting files into class folders.

A file where we have put it says nothing. In another class folder, it is a label.
"""

import logging
import os
import pwd
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, insert, update

from daemon.database.connection import new_id
from daemon.database.files import is_file, rows_at
from daemon.database.queue import FREED
from daemon.database.tables import PREDICTED, videos
from daemon.home.folders import UNSURE, Folders, Found
from daemon.home.identity import Identity, display_name, identify, printable
from daemon.labels.labels import Label, Origin, add_label
from daemon.labels.queries import find
from learner.classes import CLASS_NAME_RULE, is_class_name

log = logging.getLogger(__name__)

ClassFolder = tuple[str, str]
"""`classified` or `labelled`, and the folder in it."""


class ClassFolders:
    """Turns files in class folders into labels, and queues those that are new."""

    def __init__(self, engine: Engine, folders: Folders) -> None:
        self._engine = engine
        self._folders = folders
        self._writer = engine.execution_options(writes=True)
        self._left_alone: set[bytes] = set()  # there is one warning of each

    def unexplained(self, files: Sequence[Found]) -> list[Found]:
        """Those of the files in class folders that we have not put where they are."""
        with self._engine.begin() as connection:
            ours = _ours(connection, files)
        return [file for file in files if file.path not in ours]

    def notice(self, files: Sequence[Found], now: datetime) -> int:
        """Note what people say by these files in class folders, and queue what is new.

        Gives how many videos there is something to do with.
        """
        with self._writer.begin() as connection:
            ours = _ours(connection, files)
            strangers = [file for file in files if file.path not in ours]
            return sum(self._notice(connection, file, now) for file in strangers)

    def _notice(self, connection: Connection, file: Found, now: datetime) -> bool:
        folder = self._folders.class_folder(file.path)
        if folder is None or not _is_label(folder):
            self._leave_alone(file.path, CLASS_NAME_RULE if folder else "it is in no class folder")
            return False
        known = _by_identity(connection, file.identity)
        if known is None:
            self._notice_unknown(connection, file, folder, now)
            return True
        if known["state"] == "failed":
            # Someone was faster than our own move to `failed/`: the next search finds it again.
            if known["finished_at"] is None:
                return False
            self._add(connection, file, folder, now)
            return True
        if known["path"] != file.path and _is_there(known["path"], file.identity):
            return self._link(connection, known, file, folder, now)
        return self._follow(connection, known, file, folder, now)

    def _notice_unknown(
        self, connection: Connection, file: Found, folder: ClassFolder, now: datetime
    ) -> None:
        rows = _rows_here(connection, file.path)
        if rows and _is_newer_state(rows[-1], file.identity):
            _renew(connection, rows[-1], file.identity)
        elif folder[0] == "classified" and _is_written_on(rows, file.identity):
            _queue(connection, file, now)  # we had put it there, so nobody labelled it
        else:
            self._add(connection, file, folder, now)

    def _add(self, connection: Connection, file: Found, folder: ClassFolder, now: datetime) -> None:
        """A file never seen before, with its label."""
        new = _queue(connection, file, now)
        row = {"content": new, "state": "queued", "duplicate_of": None}
        origin = Origin("folder", _owner(file.path), now)
        add_label(connection, self._folders, row, _label_of(new, folder), origin)

    def _follow(
        self, connection: Connection, row: Any, file: Found, folder: ClassFolder, now: datetime
    ) -> bool:
        """Someone has moved a file: its row follows it. Whether there is something to do."""
        path = file.path
        change: dict[str, Any] = {"path": path, "name": display_name(path), "destination": None}
        if row["state"] == "classified":  # predicted, and someone was faster than our own move
            change |= {"state": "filed", "error": None, "finished_at": now}
        elif row["state"] == "waiting":
            change |= {"state": "queued", **FREED}
        _fail_others_at(connection, path, row["id"], now)
        connection.execute(update(videos).where(videos.c.id == row["id"]).values(**change))
        # If the whole home was moved, or has another name, its files lie where we had put them.
        is_where_it_was = row["path"].endswith(path[len(self._folders.root) :])
        if is_where_it_was or self._folders.class_folder(row["path"]) == folder:
            return bool(row["state"] == "waiting")
        label = _label_of(row["id"], folder)
        text = label.class_name or label.verdict
        log.info("%s: labelled %s by hand (id=%d)", _shown(path), text, row["id"])
        origin = Origin("moved", _owner(path), now)
        add_label(connection, self._folders, {**row, **change}, label, origin)
        return True

    def _link(
        self, connection: Connection, row: Any, file: Found, folder: ClassFolder, now: datetime
    ) -> bool:
        """The same file under a second name: a copy, which gets a row of its own."""
        if row["sha256"] is None:
            return False  # the next search finds it again, when the first one has a prediction
        copy = {key: row[key] for key in ("group", "inode", "size", "mtime_ns", "sha256")}
        copy |= {"name": display_name(file.path), "path": file.path}
        copy |= {"state": "filed", "duplicate_of": row["content"]}
        connection.execute(insert(videos).values(**copy, arrived_at=now, finished_at=now))
        origin = Origin("moved", _owner(file.path), now)
        add_label(connection, self._folders, row, _label_of(row["id"], folder), origin)
        return True

    def _leave_alone(self, path: bytes, reason: str) -> None:
        if path not in self._left_alone:
            log.warning("%s: left alone, %s", _shown(path), reason)
            self._left_alone.add(path)


def is_label(connection: Connection, folders: Folders, file: Found) -> bool:
    """Whether a file that no row explains will be taken for a label by the daemon, and stay.

    A file that replaced a predicted one, or was changed after it was filed, is no label.
    """
    folder = folders.class_folder(file.path)
    if folder is None or not _is_label(folder):
        return False
    if _by_identity(connection, file.identity) is not None:
        return True
    rows = _rows_here(connection, file.path)
    is_predicted = bool(rows) and rows[-1].state in PREDICTED
    is_replaced = is_predicted and _is_newer_state(rows[-1], file.identity)
    return not (is_replaced or _is_written_on(rows, file.identity))


def _queue(connection: Connection, file: Found, now: datetime) -> int:
    """Queue a file; gives its video's id."""
    row = {"name": display_name(file.path), "path": file.path, "group": file.group}
    row |= file.identity._asdict()
    new = insert(videos).values(**row, state="queued", arrived_at=now)
    return new_id(connection.execute(new))


def _fail_others_at(connection: Connection, path: bytes, video_id: int, now: datetime) -> None:
    """Another file took the place of these: they were not read yet, and never will be."""
    replaced = and_(
        videos.c.path == path,
        videos.c.id != video_id,
        videos.c.state.in_(("waiting", "queued")),
    )
    failed = {"state": "failed", "error": "another file was put in its place", "finished_at": now}
    connection.execute(update(videos).where(replaced).values(**failed, **FREED))


def _ours(connection: Connection, files: Sequence[Found]) -> set[bytes]:
    """The paths where a row says that we have put, or are about to put, this very file."""
    paths = [file.path for file in files]
    rows = rows_at(connection, paths, "state", *Identity._fields)
    known = {(path, tuple(identity)) for path, _, state, *identity in rows if state != "waiting"}
    return {file.path for file in files if (file.path, tuple(file.identity)) in known}


def _rows_here(connection: Connection, path: bytes) -> list[Any]:
    """The rows of files at a path, the newest last."""
    rows = rows_at(connection, [path], "state", "inode", "size")
    return sorted(rows, key=lambda row: int(row.id))


def _by_identity(connection: Connection, identity: Identity) -> Any:
    """The newest video that has this file; None if there is none."""
    return next(reversed(find(connection, is_file(identity)).values()), None)


def _is_newer_state(row: Any, identity: Identity) -> bool:
    """Whether a path's file is the same one as in its newest row, only copied or touched.

    That is so after a copy to another file system, after a backup was restored, and on a share that
    numbers its files anew. A file that was not read yet may also have changed.
    """
    if row.state in ("waiting", "queued"):
        return True
    return bool(row.state != "failed" and row.size == identity.size)


def _renew(connection: Connection, row: Any, identity: Identity) -> None:
    """The row follows its file."""
    change: dict[str, Any] = identity._asdict()
    if row.state in ("waiting", "queued"):
        change |= {**FREED, "state": "queued", "attempts": 0, "tries": 0}
    connection.execute(update(videos).where(videos.c.id == row.id).values(**change))


def _is_written_on(rows: Sequence[Any], identity: Identity) -> bool:
    """Whether the file was filed here, and someone has written to it since."""
    filed = [row for row in rows if row.state == "filed"]
    return bool(filed) and filed[-1].inode == identity.inode


def _is_there(path: bytes, identity: Identity) -> bool:
    try:
        return identify(path) == identity
    except OSError:
        return False


def _is_label(folder: ClassFolder) -> bool:
    return is_class_name(folder[1]) or folder == ("classified", os.fsdecode(UNSURE))


def _label_of(video: int, folder: ClassFolder) -> Label:
    """The label that is given by putting a file into a class folder."""
    if is_class_name(folder[1]):
        return Label(video, "labelled", folder[1])
    return Label(video, "unsure")


def _owner(path: bytes) -> str:
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (OSError, KeyError):
        return "unknown"


def _shown(path: bytes) -> str:
    return printable(display_name(path))

"""Reads what people say by putting files into class folders.

If a file lies where vidwatch put it, that is no label. In another class folder, it is one.
"""

import logging
import os
import pwd
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, update

from daemon.database.arrivals import add_to_queue, fail_others_at, forget_device
from daemon.database.filed import of_the_home
from daemon.database.files import has_numbers, in_its_place, row_of, rows_at
from daemon.database.records import FREED
from daemon.database.tables import PREDICTED, videos
from daemon.home.folders import UNSURE, ClassFolder, Folders, Found, sub_folder
from daemon.home.identity import Identity, display_name, is_there, lies_at
from daemon.home.names import OtherNames
from daemon.home.sidecars import Sidecars
from daemon.home.texts import printable, shown
from daemon.labels.classes import KnownClasses, changed_names
from daemon.labels.groups import regroup
from daemon.labels.labels import Label, Origin, add_label
from daemon.labels.put_by_us import not_put_by_us
from daemon.labels.queries import find
from daemon.labels.renamed_folders import exists, forget_undone, is_renaming
from learner.classes import is_system_folder, normal_name, why_not_a_class

log = logging.getLogger(__name__)

UNSURE_FOLDER: ClassFolder = ("classified", os.fsdecode(UNSURE))


class ClassFolders:
    """Turns files in class folders into labels, and queues those that are new."""

    def __init__(
        self, engine: Engine, folders: Folders, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing is read yet.

        Args:
            engine: Of the home's database.
            folders: The home's folders.
            progress: Called now and then while sidecars are copied. An exception from it ends that.
        """
        self._progress = progress
        self._engine = engine
        self._folders = folders
        self._writer = engine.execution_options(writes=True)
        self._other_names = OtherNames(folders)
        self._sidecars = Sidecars(folders.root)
        # Where clips were that people have moved, and where they are now.
        self._moved: list[tuple[bytes, bytes]] = []
        # Paths that a warning was logged for, so that it is logged once.
        self._warned: set[bytes] = set()
        # The classes of folders by the folders' names, so that they are checked once.
        self._classes: dict[str, str] = {}
        self._changed: dict[str, str | None] = {}

    def not_put_by_us(self, files: Sequence[Found]) -> list[Found]:
        """Those of the files in class folders that vidwatch did not put where they are."""
        with self._engine.begin() as connection:
            return not_put_by_us(connection, files)

    def notice(self, files: Sequence[Found], now: datetime) -> int:
        """Note what people say by these files in class folders, and queue what is new.

        Returns how many videos have work to do now.
        """
        self._moved.clear()
        n_to_do = self._notice_all(files, now)
        # Not in the transaction: a large sidecar may be copied to another disk, and none that
        # cannot be moved may undo a label.
        for source, target in self._moved:
            self._sidecars.follow_if_possible(source, target, self._progress)
        return n_to_do

    def _notice_all(self, files: Sequence[Found], now: datetime) -> int:
        with self._writer.begin() as connection:
            self._follow_changes(connection)
            new = not_put_by_us(connection, files)
            # We may have moved a file on while this waited for the database. From now on we do not:
            # each move is noted first, and that waits for this transaction.
            there = [file for file in new if lies_at(file.path, file.identity)]
            return sum(self._notice(connection, file, now) for file in there)

    def _follow_changes(self, connection: Connection) -> None:
        """Follow what people have done to classes and class folders meanwhile."""
        forget_undone(connection, self._folders)
        changed = changed_names(connection)
        if changed != self._changed:
            self._classes.clear()
            self._changed = changed

    def _notice(self, connection: Connection, file: Found, now: datetime) -> bool:
        """Note what a person says by this file. Returns whether its video has work to do now."""
        folder = self._folders.class_folder(file.path)
        if folder is None:
            self._leave_alone(file.path, "it is in no class folder")
            return False
        known = _row_of(connection, file)
        if reason := self._why_no_label(connection, folder, known):
            name = printable(folder[1])
            self._leave_alone(file.path, f"'{name}' cannot be a class, {reason}")
            return False
        if known is None:
            self._notice_unknown(connection, file, folder, now)
            return True
        if known["state"] == "failed":
            # A person moved the file before we could move it to `failed/`. The next search finds it
            # again.
            if known["finished_at"] is None:
                return False
            self._add(connection, file, folder, now)
            return True
        forget_device(connection, file.identity, known["id"])
        if known["path"] != file.path and in_its_place(known) is not None:
            return self._link(connection, known, file, folder, now)
        return self._follow(connection, known, file, folder, now)

    def _why_no_label(self, connection: Connection, folder: ClassFolder, known: Any) -> str | None:
        """Why a file in this folder gets no label; None if it gets one.

        A folder that a person has renamed may differ from its former name in case only.
        """
        name = folder[1]
        if folder == UNSURE_FOLDER or name in self._classes:
            return None
        if is_system_folder(name):
            return "a file server or the system made it"
        known_classes = KnownClasses(connection)
        existing = known_classes.existing
        before = self._folders.class_folder(known["path"]) if known is not None else None
        if before is not None and not exists(self._folders, before):
            existing.discard(before[1])
        class_name = known_classes.named(name)
        reason = why_not_a_class(class_name, existing, is_folder=True)
        if reason is None:
            self._classes[name] = class_name
        return reason

    def _label_of(self, video: int, folder: ClassFolder) -> Label:
        """The label that is given by putting a file into a class folder."""
        if folder == UNSURE_FOLDER:
            return Label(video, "unsure")
        return Label(video, "labelled", self._classes[folder[1]])

    def _is_same_class(
        self, connection: Connection, before: ClassFolder | None, folder: ClassFolder
    ) -> bool:
        """Whether two folders are of one class, as those of an "ö" in its two encodings."""
        if before is None or before == folder:
            return before == folder
        names = {before[1], folder[1]}
        are_alike = len(set(map(normal_name, names))) == 1
        if before[0] != folder[0] or not (are_alike or names & self._changed.keys()):
            return False
        # A database of an older vidwatch may have both names as classes.
        known_classes = KnownClasses(connection)
        return len(set(map(known_classes.named, names))) == 1

    def _notice_unknown(
        self, connection: Connection, file: Found, folder: ClassFolder, now: datetime
    ) -> None:
        rows = _rows_here(connection, file.path)
        if rows and _is_same_file_again(rows[-1], file.identity):
            _renew(connection, rows[-1], file.identity, now)
        elif folder[0] == "classified" and _was_changed_after_filing(rows, file.identity):
            add_to_queue(connection, file, now)  # vidwatch had put it there: that is no label
        else:
            self._add(connection, file, folder, now)

    def _add(self, connection: Connection, file: Found, folder: ClassFolder, now: datetime) -> None:
        """Queue a file that was never seen before, and add its label."""
        new = add_to_queue(connection, file, now)
        row = {"content": new, "state": "queued", "duplicate_of": None}
        origin = Origin("folder", _owner(file.path), now)
        add_label(connection, self._folders, row, self._label_of(new, folder), origin)

    def _follow(
        self, connection: Connection, row: Any, file: Found, folder: ClassFolder, now: datetime
    ) -> bool:
        """Change the row of a file that a person moved, and note the label if it is one.

        Returns whether the video has work to do now.
        """
        path = file.path
        is_label = self._is_label(connection, row, path, folder, now)
        change: dict[str, Any] = {"path": path, "name": display_name(path), "moving_to": None}
        change |= {"device": file.identity.device, "dropped_at": None}
        change |= {"trashed_at": None, "removed_at": None, **of_the_home(row)}
        # An earlier label is still to move the file, unless there is a new one now.
        change["destination"] = None if is_label else self._folders.still_wanted(row, path)
        if row["state"] == "classified":
            # A person moved the file before we could move it to its class folder.
            change |= {"state": "filed", "error": None, "finished_at": now}
        elif row["state"] == "waiting":
            change |= {"state": "queued", **FREED}
        fail_others_at(connection, path, row["id"], now)
        connection.execute(update(videos).where(videos.c.id == row["id"]).values(**change))
        self._follow_group(connection, row, file)
        if row["on_filed"] is None or row["left_at"] is not None:
            self._moved.append((row["path"], path))
        if not is_label:
            return bool(row["state"] == "waiting" or change["destination"])
        label = self._label_of(row["id"], folder)
        text = label.class_name or label.verdict
        log.info("%s: labelled %s by hand (id=%d)", shown(path), text, row["id"])
        origin = Origin("moved", _owner(path), now)
        add_label(connection, self._folders, {**row, **change}, label, origin)
        return True

    def _is_label(
        self, connection: Connection, row: Any, path: bytes, folder: ClassFolder, now: datetime
    ) -> bool:
        """Whether a file that was moved into a class folder is labelled by it."""
        places = [self._folders.class_folder(row[at]) for at in ("path", "moving_to") if row[at]]
        if folder in places or self._folders.former_root(row["path"], path):
            return False
        if self._is_same_class(connection, places[0], folder):
            return False
        return not is_renaming(connection, self._folders, row, path, now)

    def _follow_group(self, connection: Connection, row: Any, file: Found) -> None:
        """Change the group of a file that was moved into a sub-folder, or out of the one it had.

        One that the inbox's folder stated stays: with `filed_as = "tree"` we made that sub-folder.
        """
        old = row["group"]
        was_by_folder = old is not None and old == sub_folder(row["path"], self._folders.root)
        was_by_folder = was_by_folder and old != row["source"]
        if file.group != old and (file.group or was_by_folder):
            regroup(connection, {row["id"]: file.group})

    def _link(
        self, connection: Connection, row: Any, file: Found, folder: ClassFolder, now: datetime
    ) -> bool:
        """Note what a person says by giving a file a second name (a hard link).

        In another class folder than the first name, it is a label: the row follows to the second
        name, and the first one is set aside. In the same folder, the second one is set aside.

        Returns whether the video has work to do now.
        """
        if row["finished_at"] is None or row["destination"] is not None:
            return False  # the next search finds it again, when the first name has come to rest
        before = self._folders.class_folder(row["path"])
        if before == folder:
            self._other_names.set_aside(file)
            return False
        # First the name, then the row: if we are ended in between, the row's file has moved to the
        # second name, as if a person had done it. The other way round, the next search would take
        # the first name for a newer label.
        first = file._replace(path=row["path"])
        if before is not None and not self._other_names.set_aside(first):
            return False
        return self._follow(connection, row, file, folder, now)

    def _leave_alone(self, path: bytes, reason: str) -> None:
        if path not in self._warned:
            log.warning("%s: left alone: %s", shown(path), reason)
            self._warned.add(path)


def is_label(connection: Connection, folders: Folders, file: Found, classes: KnownClasses) -> bool:
    """Whether a file that no row explains will be taken for a label by the daemon, and stay.

    A file that replaced a predicted one, or was changed after it was filed, is no label.

    Args:
        connection: To the database.
        folders: The home's folders.
        file: The file.
        classes: The classes, which take time to read.
    """
    folder = folders.class_folder(file.path)
    if folder is None:
        return False
    if folder != UNSURE_FOLDER and why_not_a_class(classes.named(folder[1]), classes.existing):
        return False
    if _row_of(connection, file) is not None:
        return True
    rows = _rows_here(connection, file.path)
    is_predicted = bool(rows) and rows[-1].state in PREDICTED
    is_replaced = is_predicted and _is_same_file_again(rows[-1], file.identity)
    return not (is_replaced or _was_changed_after_filing(rows, file.identity))


def _rows_here(connection: Connection, path: bytes) -> list[Any]:
    """The rows of files at a path, the newest last.

    A row whose file belongs there has none there as long as the file lies where it was.
    """
    rows = rows_at(connection, [path], "path", "state", "inode", "size")
    here = [row for row in rows if row.path == path or not is_there(row.path)]
    return sorted(here, key=lambda row: int(row.id))


def _row_of(connection: Connection, file: Found) -> Any:
    """The newest video that has this file, whatever its name; None if there is none."""
    return row_of(reversed(find(connection, has_numbers(file.identity)).values()), file)


def _is_same_file_again(row: Any, identity: Identity) -> bool:
    """Whether the file at a path is the file of the path's newest row, with another identity.

    It gets another identity by a copy to another file system, when a backup is restored, and on a
    share that numbers its files anew. A file that was not read yet may also have changed.
    """
    if row.state in ("waiting", "queued"):
        return True
    return bool(row.state != "failed" and row.size == identity.size)


def _renew(connection: Connection, row: Any, identity: Identity, now: datetime) -> None:
    """Give a row the new identity of its file."""
    change: dict[str, Any] = identity._asdict()
    if row.state in ("waiting", "queued"):
        change |= {**FREED, "state": "queued", "attempts": 0, "tries": 0, "changed_at": now}
    forget_device(connection, identity, row.id)
    connection.execute(update(videos).where(videos.c.id == row.id).values(**change))


def _was_changed_after_filing(rows: Sequence[Any], identity: Identity) -> bool:
    """Whether the file was filed here, and was written to since then."""
    filed = [row for row in rows if row.state == "filed"]
    return bool(filed) and filed[-1].inode == identity.inode


def _owner(path: bytes) -> str:
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (OSError, KeyError):
        return "unknown"

"""What people say of videos: what counts as a label, and every change of them as one transaction.

The place where we put a file is ours; in another class folder, it is a person's word. Labels are never changed or
removed: the newest of a video counts. A label belongs to a content: that of a copy is kept with the first video.
"""

import logging
import os
import pwd
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, and_, insert, update

from daemon.database.connection import new_id
from daemon.database.files import ANSWERED, is_file, rows_at
from daemon.database.queue import FREED
from daemon.database.tables import labels, videos
from daemon.home.folders import UNSURE, Folders
from daemon.home.identity import Identity, display_name, identify, printable
from daemon.labels.queries import find, newest
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

Verdict = Literal["labelled", "unsure", "withdrawn"]
Source = Literal["folder", "moved", "command", "accepted", "csv", "page"]


@dataclass(frozen=True)
class Said:
    """What a person says of a video; `class_name` is None but for "labelled".

    `sampled`: it was said where the random share was reviewed.
    """

    video_id: int
    verdict: Verdict
    class_name: str | None = None
    sampled: bool = False


class Labels:
    """All that is said, from wherever it is said."""

    def __init__(self, engine: Engine, folders: Folders) -> None:
        self._engine, self._folders = engine, folders
        self._writer = engine.execution_options(writes=True)
        self._left_alone: set[bytes] = set()  # each is warned of once

    def say(self, said: Sequence[Said], source: Source, who: str, now: datetime) -> None:
        """Note labels, all or none; the daemon moves the files.

        Raises:
            VidwatchError: a video that there is not, or that failed, or what cannot be a class; names each.
        """
        if wrong := {
            one.class_name
            for one in said
            if one.verdict == "labelled" and not is_class_name(one.class_name)
        }:
            raise VidwatchError(
                f"class {', '.join(map(repr, sorted(map(str, wrong))))}: {CLASS_NAME_RULE}"
            )
        with self._writer.begin() as write:
            rows = self._require(write, [one.video_id for one in said])
            for one in said:
                self._note(write, rows[one.video_id], one, source, who, now)

    def accept(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """The answers of these videos are right.

        Raises:
            VidwatchError: as `say`, or a video without an answer.
        """
        with self._writer.begin() as write:
            rows = self._require(write, ids)
            if unanswered := [str(video) for video, row in rows.items() if row["answer"] is None]:
                raise VidwatchError(
                    f"video {', '.join(unanswered)} has no answer yet that could be accepted"
                )
            for video in ids:
                said = Said(video, "labelled", rows[video]["answer"])
                self._note(write, rows[video], said, source, who, now)

    def undo(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """Take the newest label of these videos back: what was said before it counts again.

        Raises:
            VidwatchError: as `say`, or a video of which nothing was said.
        """
        with self._writer.begin() as write:
            rows = self._require(write, ids)
            for video in ids:
                row = rows[video]
                query = newest().where(labels.c.video_id == row["content"])
                last = write.execute(query).first()
                if last is None:
                    raise VidwatchError(f"video {video} has no label that could be taken back")
                undone = {"video_id": row["content"], "verdict": "withdrawn", "takes_back": last.id}
                write.execute(
                    insert(labels).values(**undone, source=source, who=who, created_at=now)
                )
                before = write.execute(query).mappings().first()
                said = (
                    Said(video, before["verdict"], before["class"])
                    if before
                    else Said(video, "withdrawn")
                )
                self._put(write, row, said)

    def _require(self, read: Connection, ids: Iterable[int]) -> dict[int, Any]:
        """Each video's row, with its `content` (the first video that held it) and `answer`."""
        found = find(read, videos.c.id.in_(list(ids)))
        if unknown := [str(video) for video in ids if video not in found]:
            raise VidwatchError(
                f"there is no video {', '.join(unknown)}; 'vidwatch status' shows the ids"
            )
        if failed := [str(video) for video in ids if found[video]["state"] == "failed"]:
            raise VidwatchError(
                f"video {', '.join(failed)} could not be read, and nothing can be learned from it"
            )
        return found

    def _note(
        self, write: Connection, row: Any, said: Said, source: Source, who: str, now: datetime
    ) -> None:
        named = {
            "video_id": row["content"],
            "verdict": said.verdict,
            "class": said.class_name,
            "sampled": said.sampled,
        }
        write.execute(insert(labels).values(**named, source=source, who=who, created_at=now))
        self._put(write, row, said)

    def _put(self, write: Connection, row: Any, said: Said) -> None:
        """Have the first file of a content moved to where its label puts it."""
        if row["duplicate_of"] is not None:
            row = find(write, videos.c.id == row["content"])[row["content"]]
        if row["state"] in ("classified", "filed"):
            write.execute(
                update(videos)
                .where(videos.c.id == row["id"])
                .values(destination=self._rest(row, said))
            )

    def _rest(self, row: Any, said: Said) -> bytes | None:
        """Where the file of an answered video is to be moved; None where it is there."""
        path: bytes = row["path"]
        if said.verdict == "labelled" and said.class_name:
            target, folder = (
                self._folders.labelled(path, said.class_name),
                ("labelled", said.class_name),
            )
        elif said.verdict == "unsure" or row["doubt"]:
            target, folder = self._folders.unsure(path), ("classified", os.fsdecode(UNSURE))
        else:
            target, folder = (
                self._folders.classified(path, row["answer"]),
                ("classified", row["answer"]),
            )
        return None if self._folders.class_folder(path) == folder else target

    def unexplained(self, files: Sequence[tuple[bytes, Identity | None]]) -> list[bytes]:
        """Those of the files in class folders that we have not put where they are."""
        with self._engine.begin() as read:
            ours = _ours(read, files)
        return [path for path, _ in files if path not in ours]

    def notice(self, files: Sequence[tuple[bytes, Identity, str | None]], now: datetime) -> int:
        """Files, with their groups, were found in class folders: note what people say by that, queue what is new.

        Gives how many videos there is something to do with.
        """
        with self._writer.begin() as write:
            ours = _ours(write, [(path, identity) for path, identity, _ in files])
            return sum(self._notice(write, *file, now) for file in files if file[0] not in ours)

    def _notice(
        self, write: Connection, path: bytes, identity: Identity, group: str | None, now: datetime
    ) -> bool:
        folder = self._folders.class_folder(path)
        if folder is None or not _says_something(folder):
            self._leave_alone(path, CLASS_NAME_RULE if folder else "it is in no class folder")
            return False
        known = _by_identity(write, identity)
        if known is None:
            rows = _rows_here(write, path)
            if rows and _goes_on(rows[-1], identity):
                _renew(write, rows[-1], identity)
            elif folder[0] == "classified" and _is_written_on(rows, identity):
                self._queue(
                    write, path, identity, group, now
                )  # we had put it there, so it is nobody's word
            else:
                self._arrive(write, path, identity, group, folder, now)
            return True
        if known["state"] == "failed":
            # Before we have moved it, someone was faster than we: the next search finds it again.
            if known["finished_at"] is not None:
                self._arrive(write, path, identity, group, folder, now)
            return known["finished_at"] is not None
        if known["path"] != path and _is_there(known["path"], identity):
            return self._link(write, known, path, folder, now)
        return self._follow(write, known, path, folder, now)

    def _arrive(
        self,
        write: Connection,
        path: bytes,
        identity: Identity,
        group: str | None,
        folder: tuple[str, str],
        now: datetime,
    ) -> None:
        """A file never seen before."""
        new = self._queue(write, path, identity, group, now)
        self._note(write, {"content": new, "state": "queued", "duplicate_of": None}, _word(new, folder), "folder",
                   _owner(path), now)  # fmt: skip

    def _queue(
        self, write: Connection, path: bytes, identity: Identity, group: str | None, now: datetime
    ) -> int:
        row = {"name": display_name(path), "path": path, "group": group, **identity._asdict()}
        return new_id(write.execute(insert(videos).values(**row, state="queued", arrived_at=now)))

    def _follow(
        self, write: Connection, row: Any, path: bytes, folder: tuple[str, str], now: datetime
    ) -> bool:
        """A file that someone has moved; its row follows it."""
        change: dict[str, Any] = {"path": path, "name": display_name(path), "destination": None}
        if row["state"] == "classified":  # answered, and moved by someone before we could
            change |= {"state": "filed", "error": None, "finished_at": now}
        elif row["state"] == "waiting":
            change |= {"state": "queued", **FREED}
        taken = and_(
            videos.c.path == path,
            videos.c.id != row["id"],
            videos.c.state.in_(("waiting", "queued")),
        )
        gone = {"state": "failed", "error": "another file was put in its place", "finished_at": now}
        write.execute(update(videos).where(taken).values(**gone, **FREED))
        write.execute(update(videos).where(videos.c.id == row["id"]).values(**change))
        # Where the whole home was moved, or is reached by another name, its files lie where we had put them.
        stayed = row["path"].endswith(path[len(self._folders.root) :])
        if stayed or self._folders.class_folder(row["path"]) == folder:
            return bool(row["state"] == "waiting")
        said = _word(row["id"], folder)
        log.info(
            "%s: a person says %s (id=%d)", _shown(path), said.class_name or said.verdict, row["id"]
        )
        self._note(write, {**row, **change}, said, "moved", _owner(path), now)
        return True

    def _link(
        self, write: Connection, row: Any, path: bytes, folder: tuple[str, str], now: datetime
    ) -> bool:
        """The same file under a second name: it says what a copy says, and has a row of its own from now on."""
        same = {key: row[key] for key in ("group", "inode", "size", "mtime_ns", "sha256")}
        if row["sha256"] is None:
            return False  # it is looked at again when the first one is answered
        copy = {
            **same,
            "name": display_name(path),
            "path": path,
            "state": "filed",
            "duplicate_of": row["content"],
        }
        write.execute(insert(videos).values(**copy, arrived_at=now, finished_at=now))
        self._note(write, row, _word(row["id"], folder), "moved", _owner(path), now)
        return True

    def _leave_alone(self, path: bytes, reason: str) -> None:
        if path not in self._left_alone:
            log.warning("%s: left alone, %s", _shown(path), reason)
            self._left_alone.add(path)


def is_word(read: Connection, folders: Folders, path: bytes, identity: Identity) -> bool:
    """Whether a file that no row explains tells a class by its folder: a daemon notes that, and leaves it there.

    What lies where we had put an answered one, in its stead or written on, tells nothing.
    """
    folder = folders.class_folder(path)
    if folder is None or not _says_something(folder):
        return False
    rows = _rows_here(read, path)
    is_changed = bool(rows) and rows[-1].state in ANSWERED and _goes_on(rows[-1], identity)
    return _by_identity(read, identity) is not None or not (
        is_changed or _is_written_on(rows, identity)
    )


def _ours(read: Connection, files: Sequence[tuple[bytes, Identity | None]]) -> set[bytes]:
    """The paths that a row says we have put, or are about to put, this very file to."""
    rows = rows_at(read, [path for path, _ in files], "state", *Identity._fields)
    known = {(path, tuple(identity)) for path, _, state, *identity in rows if state != "waiting"}
    return {path for path, identity in files if identity is None or (path, identity) in known}


def _rows_here(read: Connection, path: bytes) -> list[Any]:
    """The newest last."""
    return sorted(rows_at(read, [path], "state", "inode", "size"), key=lambda row: int(row.id))


def _by_identity(read: Connection, identity: Identity) -> Any:
    return next(reversed(find(read, is_file(identity)).values()), None)


def _goes_on(row: Any, identity: Identity) -> bool:
    """Whether the newest file of this path has only been copied or touched, or has changed before it was read.

    A copy to another file system, a restored backup, a share that numbers its files anew: its row goes on with it.
    """
    return row.state in ("waiting", "queued") or (
        row.state != "failed" and row.size == identity.size
    )


def _renew(write: Connection, row: Any, identity: Identity) -> None:
    anew: dict[str, Any] = {**identity._asdict()}
    if row.state in ("waiting", "queued"):
        anew |= {**FREED, "state": "queued", "attempts": 0, "tries": 0}
    write.execute(update(videos).where(videos.c.id == row.id).values(**anew))


def _is_written_on(rows: Sequence[Any], identity: Identity) -> bool:
    """Whether it is a file that was filed here, to which someone has gone on writing."""
    filed = [row for row in rows if row.state == "filed"]
    return bool(filed) and filed[-1].inode == identity.inode


def _is_there(path: bytes, identity: Identity) -> bool:
    try:
        return identify(path) == identity
    except OSError:
        return False


def _says_something(folder: tuple[str, str]) -> bool:
    return is_class_name(folder[1]) or folder == ("classified", os.fsdecode(UNSURE))


def _word(video: int, folder: tuple[str, str]) -> Said:
    """What is said by putting a file into a class folder."""
    return Said(video, "labelled", folder[1]) if is_class_name(folder[1]) else Said(video, "unsure")


def _owner(path: bytes) -> str:
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (OSError, KeyError):
        return "unknown"


def _shown(path: bytes) -> str:
    return printable(display_name(path))

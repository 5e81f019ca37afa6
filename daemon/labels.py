"""What people say of videos: what counts as a label, and every change of them as one transaction.

The place where we put a file is ours; in another class folder, it is a person's word. Labels are never changed or
removed: the newest of a video counts. A label belongs to a content: that of a copy is kept with the first video.
"""

import csv
import logging
import os
import pwd
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Select, and_, func, insert, or_, select, update

from daemon.filing import UNSURE, Folders
from daemon.identity import Identity, display_name, printable
from daemon.store import FREED, new_id
from daemon.tables import labels, predictions, videos
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

Verdict = Literal["labelled", "unsure", "withdrawn"]
Source = Literal["folder", "moved", "command", "accepted", "csv", "page"]


@dataclass(frozen=True)
class Said:
    """What a person says of a video; `class_name` is None but for "labelled"."""

    video_id: int
    verdict: Verdict
    class_name: str | None = None


class Labels:
    """All that is said, from wherever it is said."""

    def __init__(self, engine: Engine, folders: Folders) -> None:
        self._engine, self._folders = engine, folders
        self._writer = engine.execution_options(writes=True)

    def say(self, said: Sequence[Said], source: Source, who: str, now: datetime, *, sampled: bool = False) -> None:
        """Note labels, all or none; the daemon moves the files.

        Raises:
            VidwatchError: a video that there is not, or that failed, or what cannot be a class; names each.
        """
        if wrong := {one.class_name for one in said if one.verdict == "labelled" and not is_class_name(one.class_name)}:
            raise VidwatchError(f"class {', '.join(map(repr, sorted(map(str, wrong))))}: {CLASS_NAME_RULE}")
        with self._writer.begin() as write:
            rows = self._require(write, [one.video_id for one in said])
            for one in said:
                self._note(write, rows[one.video_id], one, source, who, now, sampled)

    def accept(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """The answers of these videos are right.

        Raises:
            VidwatchError: as `say`, or a video without an answer.
        """
        with self._writer.begin() as write:
            rows = self._require(write, ids)
            if unanswered := [str(video) for video, row in rows.items() if row["answer"] is None]:
                raise VidwatchError(f"video {', '.join(unanswered)} has no answer yet that could be accepted")
            for video in ids:
                said = Said(video, "labelled", rows[video]["answer"])
                self._note(write, rows[video], said, source, who, now, False)

    def undo(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """Take the newest label of these videos back: what was said before it counts again.

        Raises:
            VidwatchError: as `say`, or a video of which nothing was said.
        """
        with self._writer.begin() as write:
            rows = self._require(write, ids)
            for video in ids:
                content = rows[video]["content"]
                query = select(labels).where(labels.c.video_id == content).order_by(labels.c.id.desc()).limit(2)
                earlier = write.execute(query).mappings().all()
                if not earlier:
                    raise VidwatchError(f"video {video} has no label that could be taken back")
                said = Said(video, "withdrawn")
                if len(earlier) == 2:
                    said = Said(video, earlier[1]["verdict"], earlier[1]["class"])
                self._note(write, rows[video], said, source, who, now, False)

    def _require(self, read: Connection, ids: Iterable[int]) -> dict[int, Any]:
        """Each video's row, with its `content` (the first video that held it) and `answer`."""
        found = _find(read, videos.c.id.in_(list(ids)))
        if unknown := [str(video) for video in ids if video not in found]:
            raise VidwatchError(f"there is no video {', '.join(unknown)}; 'vidwatch status' shows the ids")
        if failed := [str(video) for video in ids if found[video]["state"] == "failed"]:
            raise VidwatchError(f"video {', '.join(failed)} could not be read, and nothing can be learned from it")
        return found

    def _note(
        self, write: Connection, row: Any, said: Said, source: Source, who: str, now: datetime, sampled: bool
    ) -> None:
        named = {"video_id": row["content"], "verdict": said.verdict, "class": said.class_name}
        write.execute(insert(labels).values(**named, source=source, who=who, sampled=sampled, created_at=now))
        if row["state"] in ("classified", "filed") and row["duplicate_of"] is None:
            write.execute(update(videos).where(videos.c.id == row["id"]).values(destination=self._rest(row, said)))

    def _rest(self, row: Any, said: Said) -> bytes | None:
        """Where the file of an answered video is to be moved; None where it is there."""
        path: bytes = row["path"]
        if said.verdict == "labelled" and said.class_name:
            target, folder = self._folders.labelled(path, said.class_name), ("labelled", said.class_name)
        elif said.verdict == "unsure" or row["doubt"]:
            target, folder = self._folders.unsure(path), ("classified", os.fsdecode(UNSURE))
        else:
            target, folder = self._folders.classified(path, row["answer"]), ("classified", row["answer"])
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

    def _notice(self, write: Connection, path: bytes, identity: Identity, group: str | None, now: datetime) -> bool:
        folder = self._folders.class_folder(path)
        if folder is None or not (is_class_name(folder[1]) or folder == ("classified", os.fsdecode(UNSURE))):
            log.warning("%s: left alone, %s", _shown(path), CLASS_NAME_RULE if folder else "it is in no class folder")
            return False
        is_unsure = not is_class_name(folder[1])
        moved = _by_identity(write, identity)
        if moved is None and _is_anew(write, path, identity):
            return True
        if moved and moved["state"] == "failed" and moved["finished_at"] is None:
            return False  # someone was faster than we with moving it; the next search finds it again
        if moved is None or moved["state"] == "failed":
            row = {"name": display_name(path), "path": path, "group": group, **identity._asdict()}
            new = new_id(write.execute(insert(videos).values(**row, state="queued", arrived_at=now)))
            said = Said(new, "unsure") if is_unsure else Said(new, "labelled", folder[1])
            self._note(write, {"content": said.video_id, "state": "queued"}, said, "folder", _owner(path), now, False)
            return True
        before = self._folders.class_folder(moved["path"])
        change: dict[str, Any] = {"path": path, "name": display_name(path), "destination": None}
        if moved["state"] == "classified":  # answered, and moved by someone before we could
            change |= {"state": "filed", "error": None, "finished_at": now}
        elif moved["state"] == "waiting":
            change |= {"state": "queued", **FREED}
        write.execute(update(videos).where(videos.c.id == moved["id"]).values(**change))
        if before == folder:
            return False
        said = Said(moved["id"], "unsure") if is_unsure else Said(moved["id"], "labelled", folder[1])
        log.info("%s: a person says %s (id=%d)", _shown(path), said.class_name or said.verdict, moved["id"])
        self._note(write, {**moved, **change}, said, "moved", _owner(path), now, False)
        return True


def find_videos(words: Sequence[str], folder: Path, engine: Engine) -> list[int]:
    """The ids of the videos that `words` mean: each an id, a path (from `folder`), or a name.

    Raises:
        VidwatchError: one of them is unknown, or means several; names each.
    """
    found, wrong = [], []
    with engine.begin() as read:
        for word in words:
            try:
                found.append(int(_find_video(word, folder, read)["id"]))
            except VidwatchError as error:
                wrong.append(str(error))
    if wrong:
        raise VidwatchError("; ".join(wrong))
    return list(dict.fromkeys(found))


def import_csv(path: Path, engine: Engine) -> list[Said]:
    """The labels in a CSV file with the columns `file` and `label`: `file` is an id, a path, or a video's name.

    Raises:
        VidwatchError: it cannot be read, lacks a column, or has wrong lines; names each line.
    """
    said, wrong = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file, engine.begin() as read:
            reader = csv.DictReader(file, strict=True)
            if missing := {"file", "label"} - set(reader.fieldnames or ()):
                raise VidwatchError(f"{path}: no column {' and no '.join(sorted(missing))}; its first line names them")
            for row in reader:
                try:
                    said.append(_read_row(row, path.parent, read))
                except VidwatchError as error:
                    wrong.append(f"line {reader.line_num}: {error}")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise VidwatchError(f"{path}: cannot be read as CSV in UTF-8 ({reason})") from error
    if wrong:
        raise VidwatchError(f"{path}: nothing was imported. " + "; ".join(wrong))
    if not said:
        raise VidwatchError(f"{path}: no labels in it")
    return said


def _read_row(row: dict[str, str | None], folder: Path, read: Connection) -> Said:
    name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
    if not is_class_name(label):
        raise VidwatchError(f"label {label!r}: {CLASS_NAME_RULE}")
    if None in row:
        raise VidwatchError("more columns than the first line names")
    video = _find_video(name, folder, read)
    if video["state"] == "failed":
        raise VidwatchError(f"{name!r} could not be read, and nothing can be learned from it")
    return Said(video["id"], "labelled", label)


def _find_video(word: str, folder: Path, read: Connection) -> Any:
    if word.isdecimal():
        found = _find(read, videos.c.id == min(int(word), 2**63 - 1))
    else:
        path = os.fsencode(os.path.abspath(folder / word))
        found = _find(read, videos.c.path == path) or _find(read, videos.c.name == word)
    # Of one file that came several times, the first is the one that has the answer.
    contents = {row["content"] for row in found.values()}
    if not contents:
        hint = "put a new file into labelled/<class>/" if (folder / word).is_file() else "see 'vidwatch status'"
        raise VidwatchError(f"no video {word!r} in the database; {hint}")
    if len(contents) > 1:
        raise VidwatchError(f"{len(contents)} videos are named {word!r}; give the id or the path")
    return next(iter(found.values()))


def newest() -> Select[Any]:
    """The label that counts of each video of which something was said."""
    last = select(func.max(labels.c.id)).group_by(labels.c.video_id)
    return select(labels).where(labels.c.id.in_(last))


def _find(read: Connection, condition: Any) -> dict[int, Any]:
    content = func.coalesce(videos.c.duplicate_of, videos.c.id)
    answer = and_(predictions.c.video_id == content, predictions.c.kind == "answer")
    columns = (content.label("content"), predictions.c["class"].label("answer"), predictions.c.doubt)
    query = select(videos, *columns).outerjoin(predictions, answer).where(condition).order_by(videos.c.id)
    return {row["id"]: row for row in read.execute(query).mappings()}


def _ours(read: Connection, files: Sequence[tuple[bytes, Identity | None]]) -> set[bytes]:
    """The paths that a row says we have put, or are about to put, this very file to."""
    paths = [path for path, _ in files]
    query = select(videos.c.path, videos.c.destination, videos.c.inode, videos.c.size, videos.c.mtime_ns)
    known = read.execute(query.where(or_(videos.c.path.in_(paths), videos.c.destination.in_(paths)))).all()
    there = {(path, Identity(*row[2:])) for row in known for path in row[:2] if path}
    return {path for path, identity in files if identity is None or (path, identity) in there}


def _by_identity(read: Connection, identity: Identity) -> Any:
    same = and_(*(videos.c[key] == value for key, value in identity._asdict().items()))
    return next(reversed(_find(read, same).values()), None)


def _is_anew(write: Connection, path: bytes, identity: Identity) -> bool:
    """Whether a file that was queued where it is has changed since, and is whole again: its row goes on with it."""
    waits = and_(videos.c.path == path, videos.c.state.in_(("waiting", "queued")))
    anew = {**identity._asdict(), **FREED, "state": "queued", "attempts": 0, "tries": 0}
    return bool(write.execute(update(videos).where(waits).values(**anew)).rowcount)


def _owner(path: bytes) -> str:
    try:
        return pwd.getpwuid(os.lstat(path).st_uid).pw_name
    except (OSError, KeyError):
        return "unknown"


def _shown(path: bytes) -> str:
    return printable(display_name(path))

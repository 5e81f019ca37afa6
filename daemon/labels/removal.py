"""Takes labels back whose clips a person removed from `labelled/`.

A label rests with its clip in `labelled/<class>/`, whichever way it was given. Without the clip
nobody can see what was labelled, and the features that a training would learn from are kept for a
while only. So a clip that is removed takes its label with it. If the clip comes back, its label
is given again, as it was.

A disk that is away is no removal: nothing is taken back if `labelled/` or all of its clips are
gone, if a folder cannot be searched, or if a class folder is there and has nothing in it, as the
place of a disk that is not mounted.
"""

import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, insert, not_, select, true

from daemon.database.connection import new_id
from daemon.database.events import note_labels
from daemon.database.expressions import content_of_video, lies_below, stands
from daemon.database.tables import class_names, labels, videos
from daemon.home.clock import is_waiting
from daemon.home.folders import Folders
from daemon.home.identity import identify
from daemon.home.texts import printable
from daemon.labels.labels import Label, move_to
from daemon.labels.queries import find, newest
from learner.classes import class_named
from learner.texts import counted

log = logging.getLogger(__name__)

SUBJECT = "labelled"
BETWEEN_LOOKS = timedelta(seconds=5)
# Looking for a million files may take a twentieth of one processor.
PAUSE_PER_WORK = 20
# Labels that one transaction takes back: a query takes so many values, and others wait for it.
AT_ONCE = 1000
REMOVED = "moved"
"""The source of a withdrawal because the file was moved out of its class folder."""

Note = Callable[[str, str | None], None]
Files = Mapping[int, Collection[bytes]]
"""The paths of files in `labelled/`, by content."""


@dataclass(frozen=True)
class _Seen:
    """Which labelled contents have a file in `labelled/`, and which have none any more."""

    there: set[int]
    gone: set[int]
    away: list[Path]
    """The class folders that are kept, since a disk may be missing there."""


class Removal:
    """Follows the clips that are removed from `labelled/`. `tend` is called every few seconds."""

    def __init__(
        self,
        engine: Engine,
        folders: Folders,
        grace: timedelta,
        note: Note,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it; it has seen nothing yet.

        Args:
            engine: Of the database.
            folders: The home's folders.
            grace: How long a clip is missing before its label is taken back. Meanwhile a search
                finds it if it was only moved.
            note: Shows a notice under a subject, or takes it back (None).
            progress: Called for each clip that is looked at. An exception from it ends the look.
        """
        self._progress = progress
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._folders = folders
        self._grace = grace
        self._note = note
        self._missed_at: dict[int, datetime] = {}
        self._devices: dict[Path, int] = {}  # that the class folders were seen on
        self._pause = BETWEEN_LOOKS
        self._next = datetime.min.replace(tzinfo=UTC)

    def tend(self, now: datetime) -> None:
        """Take the labels back of clips that have been gone for long enough."""
        if is_waiting(now, self._next, self._pause):
            return
        began = time.thread_time()
        try:
            self._follow(now)
        except OSError as error:
            log.warning("labelled clips cannot be looked for now (%s)", error.strerror)
        worked = timedelta(seconds=time.thread_time() - began)
        self._pause = max(BETWEEN_LOOKS, PAUSE_PER_WORK * worked)
        self._next = now + self._pause

    def _follow(self, now: datetime) -> None:
        if not Path(os.fsdecode(self._folders.labelled())).is_dir():
            return
        with self._engine.begin() as connection:
            files = _labelled_files(connection, self._folders)
            removed = _removed(connection)
        seen = self._look(files)
        all_are_gone = bool(seen.gone) and not seen.there
        notice = _are_away(seen.away) if seen.away else None
        self._note(SUBJECT, _all_are_gone(len(seen.gone)) if all_are_gone else notice)
        if all_are_gone:
            self._missed_at.clear()
        else:
            # If the clock was set back, they are missed from now on.
            self._missed_at = {id_: min(self._missed_at.get(id_, now), now) for id_ in seen.gone}
        due = [id_ for id_, at in self._missed_at.items() if now >= at + self._grace]
        for first in range(0, len(due), AT_ONCE):
            self._take_back({id_: files[id_] for id_ in due[first : first + AT_ONCE]}, now)
        if removed and (back := self._come_back(removed)):
            self._give_again(back, now)

    def _look(self, files: Files) -> _Seen:
        there = set()
        by_folder: dict[Path, set[int]] = defaultdict(set)
        for content, paths in files.items():
            self._progress()
            if any(identify(path) is not None for path in paths):
                there.add(content)
            for path in paths:
                by_folder[self._class_folder(path)].add(content)
        gone = set(files) - there
        away = []
        for folder, contents in sorted(by_folder.items()):
            if not contents.isdisjoint(there):
                self._devices[folder] = folder.stat().st_dev
            elif self._is_away(folder):
                gone -= contents
                away.append(folder)
        return _Seen(there, gone, away)

    def _class_folder(self, path: bytes) -> Path:
        labelled = self._folders.labelled()
        name = path[len(labelled) + 1 :].partition(b"/")[0]
        return Path(os.fsdecode(labelled + b"/" + name))

    def _is_away(self, folder: Path) -> bool:
        """Whether a disk may be missing at a class folder without its clips.

        It may be if the folder is a link, if another disk was there before, or if it is empty and
        this process never saw a clip of it: it may be the place of a disk that is not mounted since
        the last start.
        """
        if folder.is_symlink():
            return True
        try:
            device = folder.stat().st_dev
            is_empty = not any(folder.iterdir())
        except FileNotFoundError:
            return False
        before = self._devices.get(folder)
        return is_empty if before is None else device != before

    def _take_back(self, files: Files, now: datetime) -> None:
        """Take the labels of these contents back, unless something was said of them meanwhile."""
        with self._writer.begin() as connection:
            still = _labelled_files(connection, self._folders, files)
            gone = [content for content in files if still.get(content) == files[content]]
            coming = _coming_back(connection, {content: files[content] for content in gone})
            gone = [content for content in gone if content not in coming]
            for content in gone:
                _withdraw(connection, content, now)
        for content in files:
            self._missed_at.pop(content, None)
        if gone:
            text = "clips removed from labelled/: %s taken back"
            log.info(text, counted(len(gone), "label"))

    def _come_back(self, removed: Mapping[int, Any]) -> dict[int, Any]:
        """Those of the labels that were taken back whose clips lie in their class folders again."""
        content = content_of_video().label("content")
        in_place = and_(lies_below(videos.c.path, self._folders.labelled()), _is_resting())
        ids = _removed_labels().with_only_columns(labels.c.video_id)
        query = select(content, videos.c.path).where(in_place, content_of_video().in_(ids))
        back = {}
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            if (label := removed.get(row.content)) is None:
                continue
            folder = self._folders.class_folder(row.path)
            names = {label["class"], label["former"]}
            if folder and class_named(folder[1], names) in names and identify(row.path):
                back[row.content] = label
        return back

    def _give_again(self, back: Mapping[int, Any], now: datetime) -> None:
        """Give the labels again, unless something was said of their clips meanwhile."""
        columns = ("video_id", "verdict", "class", "sampled", "source", "who", "note")
        with self._writer.begin() as connection:
            still = _removed(connection)
            for content in back.keys() & still.keys():
                label = still[content]
                again = {name: label[name] for name in columns}
                again_at = {**again, "created_at": now}
                new = new_id(connection.execute(insert(labels).values(**again_at)))
                note_labels(connection, labels.c.id == new, now)
                if label["class"] != label["former"]:
                    row = find(connection, videos.c.id == content)[content]
                    given = Label(content, label["verdict"], label["class"])
                    move_to(connection, self._folders, row, given)
        text = "clips came back to labelled/: %s given again"
        log.info(text, counted(len(back), "label"))


def _all_are_gone(n: int) -> str:
    kept = "their labels are kept, since a disk may be away"
    hint = "if you removed them, put another clip into labelled/<class>/: then their labels go"
    return f"none of the {counted(n, 'labelled clip')} is there: {kept}; {hint}"


def _are_away(folders: Sequence[Path]) -> str:
    names = ", ".join(printable(f"labelled/{folder.name}") for folder in folders)
    kept = "the labels of these clips are kept, since a disk may be away"
    return f"no labelled clip is there in {names}: {kept}; if you removed them, remove the folder"


def _is_resting() -> ColumnElement[bool]:
    return and_(videos.c.state == "filed", videos.c.destination.is_(None))


def _labelled_files(
    connection: Connection, folders: Folders, only: Iterable[int] | None = None
) -> dict[int, set[bytes]]:
    """The files in `labelled/` of contents that have a label, by content.

    If a file was replaced by another one, its path counts for the newer row alone.
    """
    label = newest().where(labels.c.verdict == "labelled").subquery()
    content = content_of_video()
    newer = videos.alias()
    is_newer = and_(newer.c.path == videos.c.path, newer.c.id > videos.c.id)
    is_replaced = select(newer.c.id).where(is_newer).exists()
    columns = (label.c.video_id, videos.c.path, is_replaced.label("is_replaced"))
    in_place = and_(lies_below(videos.c.path, folders.labelled()), _is_resting())
    these = true() if only is None else content.in_(list(only))
    query = select(*columns).join(videos, content == label.c.video_id).where(in_place, these)
    files: dict[int, set[bytes]] = defaultdict(set)
    for row in connection.execute(query):
        files[row.video_id] |= set() if row.is_replaced else {row.path}
    return files


def _coming_back(connection: Connection, files: Files) -> set[int]:
    """Those of these contents whose file a person has moved into the inbox, to be read again.

    It keeps its label, and goes back to `labelled/`.
    """
    paths = {path: content for content, of_content in files.items() for path in of_content}
    again = videos.alias()
    is_same = and_(*(again.c[name] == videos.c[name] for name in ("inode", "size", "mtime_ns")))
    is_unfinished = select(again.c.id).where(is_same, again.c.finished_at.is_(None)).exists()
    query = select(videos.c.path).where(videos.c.path.in_(list(paths)), is_unfinished)
    return {paths[path] for path in connection.execute(query).scalars()}


def _removed(connection: Connection) -> dict[int, Any]:
    """The labels that were taken back with their files, and nothing was said since; by content.

    `class` is the name that the class has now, and `former` the one that it had. A label is left
    out if its class was retired since then. What was changed before then is no matter: the label
    was of a class that was in use again.
    """
    changed = {row.old: row for row in connection.execute(select(class_names))}
    removed = {}
    for row in connection.execute(_removed_labels()).mappings():
        change = changed.get(row["class"])
        is_changed = change is not None and change.changed_at > row["removed_at"]
        name = change.new if change is not None and is_changed else row["class"]
        if name is not None or row["class"] is None:
            removed[row["video_id"]] = {**row, "class": name, "former": row["class"]}
    return removed


def _removed_labels() -> Select[Any]:
    withdrawal = labels.alias()
    later = labels.alias()
    is_later = and_(later.c.video_id == withdrawal.c.video_id, later.c.id > withdrawal.c.id)
    by_removal = and_(withdrawal.c.verdict == "withdrawn", withdrawal.c.source == REMOVED)
    columns = (labels, withdrawal.c.created_at.label("removed_at"))
    query = select(*columns).join(withdrawal, withdrawal.c.takes_back == labels.c.id)
    return query.where(by_removal, not_(select(later.c.id).where(is_later).exists()))


def _withdraw(connection: Connection, content: int, now: datetime) -> None:
    """Take all labels of a content back, the newest last: it is the one to be given again.

    With the newest alone, the label before it would count again.
    """
    given = select(labels.c.id).where(labels.c.video_id == content, stands()).order_by(labels.c.id)
    given_labels = connection.scalars(given).all()
    for label_id in given_labels:
        columns = {
            "video_id": content,
            "verdict": "withdrawn",
            "takes_back": label_id,
            "source": REMOVED,
            "who": "unknown",
            "created_at": now,
        }
        connection.execute(insert(labels).values(**columns))
    if given_labels:  # the newest one counted
        note_labels(connection, labels.c.takes_back == given_labels[-1], now)

"""What people say of videos: every label is added by one transaction.

Labels are never changed or removed: the newest of a video counts. A label belongs to a content:
that of a copy is kept with the first video that held it. What class folders say is read by
`class_folders.py`.
"""

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, insert, select, update

from daemon.database.connection import new_id
from daemon.database.events import note_labels
from daemon.database.tables import PREDICTED, labels, videos
from daemon.home.folders import Folders
from daemon.home.texts import with_source
from daemon.labels.classes import require_class_names
from daemon.labels.queries import find, newest
from learner.errors import VidwatchError

AT_ONCE = 500  # labels that one transaction takes back

Verdict = Literal["labelled", "unsure", "withdrawn"]
Source = Literal["folder", "moved", "command", "accepted", "csv", "page"]


@dataclass(frozen=True)
class Label:
    """What a person says of a video."""

    video_id: int
    verdict: Verdict
    """"labelled": it is of `class_name`. "unsure": they cannot tell. "withdrawn": no label."""
    class_name: str | None = None
    """None but for "labelled"."""
    sampled: bool = False
    """Whether it was given while the random share was reviewed."""
    note: str | None = None
    """What the person wrote beside it; None if nothing."""


@dataclass(frozen=True)
class Origin:
    """How, by whom and when a label was given."""

    source: Source
    who: str
    at: datetime


@dataclass(frozen=True)
class OtherLabel:
    """A label that counts, which somebody else gave."""

    id: int
    name: str
    """The video's, with the folder of the inbox that it came from."""
    verdict: Verdict
    class_name: str | None
    source: Source
    who: str


class OthersLabelledError(VidwatchError):
    """Others have labelled videos otherwise since a person saw them."""

    def __init__(self, others: Mapping[int, OtherLabel]) -> None:
        names = ", ".join(label.name for label in others.values())
        super().__init__(f"others have labelled meanwhile: {names}")
        self.others = others
        """Their labels, by video."""


class Labels:
    """All labels of a home."""

    def __init__(self, engine: Engine, folders: Folders) -> None:
        self._folders = folders
        self._writer = engine.execution_options(writes=True)

    def add(
        self,
        new: Sequence[Label],
        source: Source,
        who: str,
        now: datetime,
        *,
        new_class: bool = False,
        seen: int | None = None,
    ) -> list[int]:
        """Add labels, all or none; the daemon moves the files.

        Args:
            new: The labels. Their classes may be written in whatever form means them.
            source: How they are given.
            who: Who gives them.
            now: When.
            new_class: Whether a class that is nearly another one is meant.
            seen: The newest label of all that this person can know; None if that is no question.

        Returns:
            The ids of the labels, in the order of `new`.

        Raises:
            VidwatchError: a video does not exist or failed, or a name can be no class; names each.
            DidYouMeanError: a class is new, and nearly another one; names each.
            OthersLabelledError: a label of somebody else is newer than `seen`, and another one.
        """
        names = {label.class_name for label in new if label.class_name is not None}
        with self._writer.begin() as connection:
            classes = require_class_names(connection, names, may_be_new=new_class)
            rows = _require(connection, [label.video_id for label in new])
            origin = Origin(source, who, now)
            named = [
                replace(label, class_name=classes[label.class_name]) if label.class_name else label
                for label in new
            ]
            if seen is not None:
                _require_unchanged(connection, rows, named, who, seen)
            return [
                add_label(connection, self._folders, rows[label.video_id], label, origin)
                for label in named
            ]

    def accept(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """Label these videos with the classes that were predicted for them.

        Raises:
            VidwatchError: as `add`, or a video without a prediction.
        """
        with self._writer.begin() as connection:
            rows = _require(connection, ids)
            if missing := [str(video) for video, row in rows.items() if row["predicted"] is None]:
                reason = "has no prediction yet that could be accepted"
                raise VidwatchError(f"video {', '.join(missing)} {reason}")
            for video in ids:
                label = Label(video, "labelled", rows[video]["predicted"])
                origin = Origin(source, who, now)
                add_label(connection, self._folders, rows[video], label, origin)

    def undo(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> None:
        """Take the newest label of these videos back: the label before it counts again.

        Raises:
            VidwatchError: as `add`, or a video without a label.
        """
        with self._writer.begin() as connection:
            rows = _require(connection, ids)
            for video in ids:
                label = _take_back(connection, rows[video], Origin(source, who, now))
                move_to(connection, self._folders, rows[video], label)

    def undo_given(self, ids: Sequence[int], source: Source, who: str, now: datetime) -> set[int]:
        """Take these labels back, each for itself.

        A label stays as it is if it does not count now: someone gave its video a newer label, or
        took this one back. So nobody's label is taken back but these.

        Args:
            ids: The ids of the labels.
            source: How they are taken back.
            who: By whom.
            now: The time.

        Returns:
            The ids of the labels that were taken back.
        """
        left = sorted(ids, reverse=True)
        undone: set[int] = set()
        origin = Origin(source, who, now)
        while left:
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            with self._writer.begin() as connection:
                # Two of them may be of one content: the older one counts after the newer is undone.
                while taken_back := self._undo_counting(connection, some, origin):
                    undone |= taken_back
        return undone

    def _undo_counting(
        self, connection: Connection, ids: Sequence[int], origin: Origin
    ) -> set[int]:
        """Take those of these labels back that count now; gives their ids."""
        counting = connection.execute(newest().where(labels.c.id.in_(ids))).all()
        if not counting:
            return set()
        contents = [label.video_id for label in counting]
        withdrawals = [_withdrawal(label.video_id, label.id, origin) for label in counting]
        connection.execute(insert(labels), withdrawals)
        taken_back = labels.c.takes_back.in_([label.id for label in counting])
        note_labels(connection, taken_back, origin.at)
        rows = find(connection, videos.c.id.in_(contents))
        before = _counting_labels(connection, contents)
        for content in contents:
            move_to(connection, self._folders, rows[content], before[content])
        return {label.id for label in counting}


def add_label(
    connection: Connection, folders: Folders, row: Any, label: Label, origin: Origin
) -> int:
    """Add one label, and have the content's first file moved to where the label puts it.

    Args:
        connection: In a transaction that writes.
        folders: The home's folders.
        row: The video as `find` gives it: `content`, `state`, `duplicate_of`.
        label: The label.
        origin: Where it comes from.

    Returns:
        The label's id.
    """
    columns = {
        "video_id": row["content"],
        "verdict": label.verdict,
        "class": label.class_name,
        "sampled": label.sampled,
        "source": origin.source,
        "who": origin.who,
        "created_at": origin.at,
        "note": label.note,
    }
    new = new_id(connection.execute(insert(labels).values(**columns)))
    note_labels(connection, labels.c.id == new, origin.at)
    move_to(connection, folders, row, label)
    return new


def current_user() -> str:
    """Who gives a label by command or on the page: the user of this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return "unknown"


def newest_label(connection: Connection) -> int:
    """The id of the newest label of all, 0 if there is none."""
    newest_first = select(labels.c.id).order_by(labels.c.id.desc()).limit(1)
    return connection.scalar(newest_first) or 0


def _take_back(connection: Connection, row: Any, origin: Origin) -> Label:
    """Withdraw the newest label of a video; gives the label that counts from now on."""
    of_content = newest().where(labels.c.video_id == row["content"])
    last = connection.execute(of_content).first()
    if last is None:
        raise VidwatchError(f"video {row['id']} has no label that could be taken back")
    connection.execute(insert(labels), [_withdrawal(row["content"], last.id, origin)])
    note_labels(connection, labels.c.takes_back == last.id, origin.at)
    return _counting_labels(connection, [row["content"]])[row["content"]]


def _withdrawal(content: int, label: int, origin: Origin) -> dict[str, Any]:
    """The row that takes a label of a content back."""
    return {
        "video_id": content,
        "verdict": "withdrawn",
        "takes_back": label,
        "source": origin.source,
        "who": origin.who,
        "created_at": origin.at,
    }


def _counting_labels(connection: Connection, contents: Sequence[int]) -> dict[int, Label]:
    """The label that counts of each of these contents: "withdrawn" if it has none."""
    found = {content: Label(content, "withdrawn") for content in contents}
    for row in connection.execute(newest().where(labels.c.video_id.in_(contents))).mappings():
        found[row["video_id"]] = Label(row["video_id"], row["verdict"], row["class"])
    return found


def _require(connection: Connection, ids: Iterable[int]) -> dict[int, Any]:
    """Each video's row, as `find` gives it."""
    found = find(connection, videos.c.id.in_(list(ids)))
    if unknown := [str(video) for video in ids if video not in found]:
        hint = "'vidwatch status' shows the ids"
        raise VidwatchError(f"there is no video {', '.join(unknown)}; {hint}")
    if failed := [str(video) for video in ids if found[video]["state"] == "failed"]:
        reason = "could not be read, and nothing can be learned from it"
        raise VidwatchError(f"video {', '.join(failed)} {reason}")
    return found


def _require_unchanged(
    connection: Connection, rows: Mapping[int, Any], new: Sequence[Label], who: str, seen: int
) -> None:
    """Refuse labels of videos that somebody else has labelled otherwise since the label `seen`."""
    contents = {rows[label.video_id]["content"] for label in new}
    newer = newest().where(labels.c.id > seen, labels.c.who != who)
    found = connection.execute(newer.where(labels.c.video_id.in_(contents))).mappings()
    by_content = {row["video_id"]: row for row in found}
    others = {}
    for label in new:
        video = rows[label.video_id]
        row = by_content.get(video["content"])
        if row is None or (row["verdict"], row["class"]) == (label.verdict, label.class_name):
            continue
        name = with_source(video["name"], video["source"])
        columns = (row["id"], name, row["verdict"], row["class"], row["source"], row["who"])
        others[label.video_id] = OtherLabel(*columns)
    if others:
        raise OthersLabelledError(others)


def move_to(connection: Connection, folders: Folders, row: Any, label: Label) -> None:
    """Have the first file of a content moved to where its label puts it.

    A file that is being moved belongs where that move ends, or is moved on from there. One that was
    deleted from the trash is not moved.
    """
    if row["duplicate_of"] is not None:
        row = find(connection, videos.c.id == row["content"])[row["content"]]
    if row["state"] not in PREDICTED or row["on_filed"] == "leave":
        return
    if row["removed_at"] is not None:
        return
    moving_to = row["moving_to"]
    destination = folders.resting_place(
        moving_to or row["path"],
        predicted=row["predicted"],
        unsure=label.verdict == "unsure" or row["doubt"] is not None,
        label=label.class_name if label.verdict == "labelled" else None,
    )
    this = update(videos).where(videos.c.id == row["id"])
    connection.execute(this.values(destination=destination or moving_to))

"""Adds the labels of tables, and queues their files: all in one transaction, or nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select

from daemon.database.arrivals import add_file, add_many
from daemon.database.events import note_labels
from daemon.database.tables import labels, videos
from daemon.home.folders import Folders, Found
from daemon.home.identity import is_there
from daemon.home.texts import printable, with_source
from daemon.labels.importing.known import at_paths, by_content, by_names, by_numbers, chunks
from daemon.labels.importing.resolving import Labelled, not_there
from daemon.labels.labels import Label, Origin, add_label
from daemon.labels.queries import find, without_file


@dataclass
class Imported:
    """What became of the labels of tables."""

    n_videos: int = 0
    """Videos that were queued."""
    n_labels: int = 0
    """Labels that were added."""
    n_known: int = 0
    """Files that had the label already."""
    kept: list[str] = field(default_factory=list)
    """Files that keep another label, which a person gave."""
    without_file: list[str] = field(default_factory=list)
    """Videos that got a label, whose files were deleted from the trash."""
    unread: list[str] = field(default_factory=list)
    """Files that could not be read as videos before."""
    several: list[str] = field(default_factory=list)
    """Files with several classes, which get no label."""
    skipped: dict[str, list[str]] = field(default_factory=dict)
    """The lines or files that give no label, by the reason."""


class Applying:
    """Adds the labels of files in a transaction that writes."""

    def __init__(
        self,
        connection: Connection,
        folders: Folders,
        origin: Origin,
        contents: Mapping[bytes, str],
    ) -> None:
        """Nothing is written yet.

        Args:
            connection: In a transaction that writes.
            folders: Of the home.
            origin: Where the labels come from.
            contents: The SHA-256 of files that may be copies of known videos, by path.
        """
        self.imported = Imported()
        self.errors: list[str] = []
        """What is wrong, each with its line. If there is anything, the transaction must not be
        committed."""
        self._connection = connection
        self._folders = folders
        self._origin = origin
        self._contents = contents

    def add(self, labelled: Sequence[Labelled]) -> None:
        """Add the labels of files, and queue those files that are not known."""
        for some in chunks(labelled):
            known = self._known([one.file for one in some if one.file is not None])
            self._add_new([one for one in some if one.file and one.file.path not in known])
            pairs = [(known.get(one.file.path), one) for one in some if one.file is not None]
            pairs += self._named([one for one in some if one.file is None])
            self._label_known([(video, one) for video, one in pairs if video is not None])

    def _known(self, files: Sequence[Found]) -> dict[bytes, int]:
        """The videos that files are, by their paths."""
        known = at_paths(self._connection, files)
        rest = [file for file in files if file.path not in known]
        known |= self._moved(rest)
        rest = [file for file in rest if file.path in self._contents and file.path not in known]
        copies = by_content(self._connection, [self._contents[file.path] for file in rest])
        for file in rest:
            row = copies.get(self._contents[file.path])
            # If the first file is gone, the copy is to take its place: it is queued.
            if row and is_there(row["path"], row["destination"], row["moving_to"]):
                known[file.path] = row["id"]
        return known

    def _moved(self, files: Sequence[Found]) -> dict[bytes, int]:
        """The videos whose files were moved, or have several names; their rows follow."""
        others = by_numbers(self._connection, files)
        moved = [file for file in files if file.path in others]
        for file in moved:
            self.imported.n_videos += self._queue(file)
        found = at_paths(self._connection, moved)
        return {path: row["id"] for path, row in others.items()} | found

    def _queue(self, file: Found) -> bool:
        return add_file(self._connection, file, self._origin.at, background=True)

    def _add_new(self, labelled: Sequence[Labelled]) -> None:
        """Queue files that are not known, with their labels."""
        files = []
        for one in labelled:
            if one.file is None:
                continue
            if one.file.origin is None:
                hint = "it lies in the home, and vidwatch does not know it yet: start the daemon"
                self.errors.append(f"{one.where}: {printable(one.name)!r}: {hint}")
            files.append(one.file)
        if self.errors or not files:
            return
        new = add_many(self._connection, files, self._origin.at)
        given = [
            {
                "video_id": video,
                "verdict": "labelled",
                "class": one.class_name,
                "source": self._origin.source,
                "who": self._origin.who,
                "created_at": self._origin.at,
            }
            for video, one in zip(new, labelled, strict=True)
        ]
        self._connection.execute(insert(labels), given)
        note_labels(self._connection, labels.c.video_id.in_(new), self._origin.at)
        self.imported.n_videos += len(new)
        self.imported.n_labels += len(new)

    def _named(self, labelled: Sequence[Labelled]) -> list[tuple[int | None, Labelled]]:
        """The videos that have the names of files that are not there."""
        found: list[tuple[int | None, Labelled]] = []
        by_name = by_names(self._connection, labelled) if labelled else {}
        for one in labelled:
            ids = by_name.get(one.name, set())
            if len(ids) == 1:
                found.append((ids.pop(), one))
            elif ids:
                these = ", ".join(map(str, sorted(ids)))
                what = f"several videos are named {printable(one.name)!r}: {these}"
                self.errors.append(f"{one.where}: {what}; give the path")
            else:
                self.errors.append(not_there(one))
        return found

    def _label_known(self, pairs: Sequence[tuple[int, Labelled]]) -> None:
        """Add the labels of known videos, but for those that a person has labelled otherwise."""
        rows = find(self._connection, videos.c.id.in_([video for video, _ in pairs]))
        last = _last_labels(self._connection, {row["content"] for row in rows.values()})
        labelled = []
        for video, one in pairs:
            row = rows[video]
            before = last.get(row["content"])
            if row["state"] == "failed":
                self.imported.unread.append(_shown(row))
            elif before is None or (before["stands"] and before["source"] == "csv"):
                if before is not None and before["class"] == one.class_name:
                    self.imported.n_known += 1
                    continue
                label = Label(video, "labelled", one.class_name)
                add_label(self._connection, self._folders, row, label, self._origin)
                self.imported.n_labels += 1
                labelled.append(video)
                last[row["content"]] = {"stands": True, "source": "csv", "class": one.class_name}
            elif before["stands"] and before["class"] == one.class_name:
                self.imported.n_known += 1
            else:
                self.imported.kept.append(_kept(row, before, one))
        self.imported.without_file += without_file(self._connection, labelled)


def _last_labels(connection: Connection, contents: set[int]) -> dict[int, dict[str, Any]]:
    """What was said last of these contents; `stands` is false if it took a label back."""
    query = select(labels).where(labels.c.video_id.in_(list(contents))).order_by(labels.c.id)
    return {
        row["video_id"]: {**row, "stands": row["verdict"] != "withdrawn"}
        for row in connection.execute(query).mappings()
    }


def _kept(row: Any, before: Mapping[str, Any], one: Labelled) -> str:
    if not before["stands"]:
        now = "its label was taken back"
    else:
        now = f"it is {printable(before['class'] or before['verdict'])}"
    return f"{_shown(row)} ({now}, here {printable(one.class_name)})"


def _shown(row: Any) -> str:
    return printable(with_source(row["name"], row["source"]))

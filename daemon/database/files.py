"""Which files in a home's folders a row of the database explains.

Moves no file. Paths of videos are bytes here, which pathlib does not take.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from daemon.database.tables import PREDICTED, videos
from daemon.home.folders import Found
from daemon.home.identity import Identity, identify
from daemon.home.moving import sha256_if_readable

Row = Mapping[Any, Any]
"""A row of `videos`, by the names of its columns."""

NUMBERS = ("inode", "size", "mtime_ns")
PLACES = (videos.c.path, videos.c.destination, videos.c.moving_to)
"""Where a video's file may lie: where it was, where it belongs, and where it is being moved."""


def unexplained(connection: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files that no row explains.

    A row explains a file if it says that the file lies there, or is to be moved there, or is being
    moved there.
    """
    rows: dict[bytes, list[Any]] = {file.path: [] for file in files}
    for row in rows_at(connection, list(rows), "size", "mtime_ns", "sha256"):
        rows[row.at].append(row)
    return [file for file in files if not any(is_same(row, file) for row in rows[file.path])]


def rows_at(connection: Connection, paths: Sequence[bytes], *names: str) -> Iterator[Any]:
    """The rows whose file lies at one of these paths, or is to be moved or being moved there.

    Each has that path as `at`, the `id`, and the columns of these names.
    """
    columns = [videos.c[name] for name in ("id", *names)]
    # Three queries: for one with "or", SQLite reads the whole table.
    for column in PLACES:
        rows = select(column.label("at"), *columns)
        yield from connection.execute(rows.where(column.in_(paths), column.is_not(None)))


def has_numbers(identity: Identity) -> ColumnElement[bool]:
    """Whether the file of a row has these numbers; its device may have another number by now.

    `row_of` finds the right one of such rows.
    """
    return and_(*(videos.c[name] == getattr(identity, name) for name in NUMBERS))


def row_of(rows: Iterable[Row], file: Found) -> Row | None:
    """The first of these rows whose file is `file`, whatever its name; None if none is.

    A row whose file is in its place comes before all others: that it is the file is certain. Then
    comes a row with the device of the file: one without a device may be any file's.

    Args:
        rows: Rows with the numbers of the file, with all columns.
        file: The file.
    """
    missing = []
    for row in rows:
        in_place = in_its_place(row)
        if in_place == file.identity:
            return row
        if in_place is None:
            missing.append(row)
    for row in sorted(missing, key=lambda row: bool(row["device"] != file.identity.device)):
        if row["device"] in (None, file.identity.device):
            return row
        if row["sha256"] and row["sha256"] == sha256_if_readable(file.path):
            return row  # the file was moved, and its device has another number since then
    return None


def in_its_place(row: Row) -> Identity | None:
    """The file of a row as it is where the row says, or where it is to be moved or is being moved.

    None if it is not there, or if that cannot be found out now.
    """
    numbers = Identity(None, row["inode"], row["size"], row["mtime_ns"])
    for path in (row["path"], row["destination"], row["moving_to"]):
        with contextlib.suppress(OSError):
            found = identify(path) if path else None
            if found is not None and found.has_numbers_of(numbers):
                return found
    return None


RESTING = ("state", "destination", "moving_to", "dropped_at", "on_filed")
"""The columns that say whether the file of a row rests at its path."""


def rests(row: Row) -> bool:
    """As `rests_here`, for a row that has been read."""
    state, *elsewhere, on_filed = (row[name] for name in RESTING)
    is_finished = state == "filed" or (state == "failed" and on_filed == "leave")
    return is_finished and elsewhere == [None, None, None]


def rests_here() -> ColumnElement[bool]:
    """Whether the file of a row rests at its path, for good."""
    is_unmoved = and_(videos.c.destination.is_(None), videos.c.moving_to.is_(None))
    is_left = and_(videos.c.state == "failed", videos.c.on_filed == "leave")
    is_finished = or_(videos.c.state == "filed", is_left)
    return and_(is_finished, is_unmoved, videos.c.dropped_at.is_(None))


def left_here(connection: Connection, files: Sequence[Found]) -> set[bytes]:
    """The paths of those of the files that stay where they are, and are known.

    A file of an archive is known by its place, size and date: it may have another inode and another
    device since its disk was mounted elsewhere. So is one that was copied or linked from here.
    """
    at = {file.path: file.identity for file in files}
    found = set()
    left = select(videos.c.left_at, videos.c.left_size, videos.c.left_mtime_ns)
    left = left.where(videos.c.left_at.in_(list(at)), videos.c.left_at.is_not(None))
    stayed = select(videos.c.path, videos.c.size, videos.c.mtime_ns).where(
        videos.c.path.in_(list(at)), videos.c.on_filed == "leave", videos.c.state != "waiting"
    )
    for query in (left, stayed):
        for path, *numbers in connection.execute(query):
            if numbers == list(at[path][2:]):
                found.add(path)
    return found


def other_names(connection: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files that are hard links to the file of a finished video, which has its name.

    They hold nothing new.
    """
    of_inodes = videos.c.inode.in_([file.identity.inode for file in files])
    rows = defaultdict(list)
    finished = select(videos).where(of_inodes, videos.c.finished_at.is_not(None))
    for row in connection.execute(finished).mappings():
        rows[row["inode"]].append(row)
    return [
        file for file in files if any(is_other_name(row, file) for row in rows[file.identity.inode])
    ]


def is_other_name(row: Row, file: Found) -> bool:
    """Whether a file is a second name of a row's file, which has its own name, too."""
    is_named_so = file.path in (row["path"], row["destination"], row["moving_to"])
    return not is_named_so and in_its_place(row) == file.identity


def is_same(row: Any, file: Found) -> bool:
    """Whether the file at the path of a row is the row's file.

    The row has `size`, `mtime_ns` and `sha256`. After a copy of the whole home it still is, though
    all inodes have changed.
    """
    if row.size != file.identity.size:
        return False
    if row.mtime_ns == file.identity.mtime_ns:
        return True
    return bool(row.sha256 and row.sha256 == sha256_if_readable(file.path))


def predicted_row(connection: Connection, file: Found) -> Any:
    """The newest row of a predicted video that has this file, whatever its name.

    None if there is none.
    """
    is_predicted = and_(videos.c.state.in_(PREDICTED), videos.c.sha256.is_not(None))
    rows = select(videos).where(has_numbers(file.identity), is_predicted)
    return row_of(connection.execute(rows.order_by(videos.c.id.desc())).mappings(), file)

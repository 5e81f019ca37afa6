"""Which files in a home's folders a row of the database explains.

Moves no file. Paths of videos are bytes here, which pathlib does not take.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select

from daemon.database.tables import PREDICTED, videos
from daemon.home.folders import Found
from daemon.home.identity import Identity
from daemon.home.moving import sha256_if_readable


def unexplained(connection: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files that no row explains.

    A row explains a file if it says that the file lies there, or is to be moved there.
    """
    rows: dict[bytes, list[Any]] = {file.path: [] for file in files}
    for row in rows_at(connection, list(rows), "size", "mtime_ns", "sha256"):
        rows[row.at].append(row)
    return [file for file in files if not any(is_same(row, file) for row in rows[file.path])]


def rows_at(connection: Connection, paths: Sequence[bytes], *names: str) -> Iterator[Any]:
    """The rows whose file lies at one of these paths, or is to be moved there.

    Each has that path as `at`, the `id`, and the columns of these names.
    """
    columns = [videos.c[name] for name in ("id", *names)]
    # Two queries: for one with "or", SQLite reads the whole table.
    for column in (videos.c.path, videos.c.destination):
        rows = select(column.label("at"), *columns)
        yield from connection.execute(rows.where(column.in_(paths), column.is_not(None)))


def is_file(identity: Identity) -> ColumnElement[bool]:
    """Whether a row's file is the one with this identity, whatever its name."""
    return and_(*(videos.c[key] == value for key, value in identity._asdict().items()))


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
    rows = select(videos).where(is_file(file.identity), is_predicted)
    return connection.execute(rows.order_by(videos.c.id.desc()).limit(1)).first()

"""Which files in a home's folders a row of the database explains, and where the home lies.

Moves no file. Paths of videos are bytes here, which pathlib does not take.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    and_,
    cast,
    func,
    literal,
    select,
    update,
)

from daemon.database.tables import PREDICTED, lies_below, videos
from daemon.home.folders import Found
from daemon.home.identity import Identity
from daemon.home.moving import sha256_if_readable

log = logging.getLogger(__name__)

RECENT = 1000  # filed videos whose paths show where the home was
PLACES = (videos.c.path, videos.c.destination, videos.c.moving_to)
"""Where a video's file may lie: where it was, where it belongs, and where it is being moved."""
_TOPS = (b"/classified/", b"/labelled/", b"/duplicates/")


def unexplained(connection: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files that no row explains.

    A row explains a file if it says that the file lies there, or is to be moved there, or is being
    moved there.
    """
    rows: dict[bytes, list[Any]] = {file.path: [] for file in files}
    for row in rows_at(connection, list(rows), "size", "mtime_ns", "sha256"):
        rows[row.at].append(row)
    return [file for file in files if not any(_is_same(row, file) for row in rows[file.path])]


def rows_at(connection: Connection, paths: Sequence[bytes], *names: str) -> Iterator[Any]:
    """The rows whose file lies at one of these paths, or is to be moved or being moved there.

    Each has that path as `at`, the `id`, and the columns of these names.
    """
    columns = [videos.c[name] for name in ("id", *names)]
    # Three queries: for one with "or", SQLite reads the whole table.
    for column in PLACES:
        rows = select(column.label("at"), *columns)
        yield from connection.execute(rows.where(column.in_(paths), column.is_not(None)))


def is_file(identity: Identity) -> ColumnElement[bool]:
    """Whether a row's file is the one with this identity, whatever its name."""
    return and_(*(videos.c[key] == value for key, value in identity._asdict().items()))


def _is_same(row: Any, file: Found) -> bool:
    """Whether the file at a row's path is the row's file.

    After a copy of the whole home it still is, though all inodes have changed.
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


def follow_home(engine: Engine, root: Path) -> None:
    """Change the paths in the database if the home was moved or copied to another path.

    Without that, each clip in a class folder would count as one that a person has put there.
    """
    new = os.fsencode(root)
    with engine.begin() as connection:
        old = _former_root(connection, new)
    if old is None:
        return
    log.info("the home was at %s: the paths in the database follow", os.fsdecode(old))
    with engine.execution_options(writes=True).begin() as connection:
        for column in PLACES:
            rest = func.substr(column, len(old) + 1)
            # To SQLite, joined bytes are text until they are cast.
            moved = cast(literal(new, LargeBinary).concat(rest), LargeBinary)
            below = lies_below(column, old)
            connection.execute(update(videos).where(below).values({column: moved}))


def _former_root(connection: Connection, new: bytes) -> bytes | None:
    """The home that the last videos were filed in; None if it is `new`, or if there are none."""
    filed = select(videos.c.path).where(videos.c.state == "filed")
    last = filed.order_by(videos.c.id.desc()).limit(RECENT)
    roots = Counter[bytes]()
    for path in connection.execute(last).scalars():
        if path.startswith(new + b"/"):
            return None
        roots.update({path.rpartition(top)[0] for top in _TOPS if top in path})
    return next((root for root, _ in roots.most_common(1)), None)

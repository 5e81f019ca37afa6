"""The files that lie in a home's folders, and which of them a row of the database explains.

Changes nothing but by `put_back`. Paths of videos are bytes here, which pathlib does not take.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select, text

from daemon.database.tables import videos
from daemon.home.folders import Found
from daemon.home.identity import Identity
from daemon.home.moving import sha256_if_readable

log = logging.getLogger(__name__)

RECENT = 1000  # filed videos, that tell where the home was
PREDICTED = ("classified", "filed")
_TOPS = (b"/classified/", b"/labelled/", b"/duplicates/")


def unexplained(read: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files of which no row says that they lie where they do, or that we are about to put them there."""
    rows: dict[bytes, list[Any]] = {file.path: [] for file in files}
    for row in rows_at(read, list(rows), "size", "mtime_ns", "sha256"):
        rows[row.at].append(row)
    return [file for file in files if not any(_is_same(row, file) for row in rows[file.path])]


def rows_at(read: Connection, paths: Sequence[bytes], *names: str) -> Iterator[Any]:
    """The path, id and columns of each row whose file lies at one of these paths, or is about to be put there."""
    columns = [videos.c[name] for name in ("id", *names)]
    # Two queries: for one with "or", SQLite reads the whole table.
    for column in (videos.c.path, videos.c.destination):
        yield from read.execute(
            select(column.label("at"), *columns).where(column.in_(paths), column.is_not(None))
        )


def is_file(identity: Identity) -> ColumnElement[bool]:
    """Whether a row's file is this one, whatever its name."""
    return and_(*(videos.c[key] == value for key, value in identity._asdict().items()))


def _is_same(row: Any, file: Found) -> bool:
    """Whether a file of a row's name is the row's: also after a copy of the whole home, where all inodes are others."""
    if row.size != file.identity.size:
        return False
    return bool(
        row.mtime_ns == file.identity.mtime_ns
        or (row.sha256 and row.sha256 == sha256_if_readable(file.path))
    )


def predicted_row(read: Connection, file: Found) -> Any:
    """The newest row of an answered video that is this file, whatever its name; None where there is none."""
    query = select(videos).where(
        is_file(file.identity), videos.c.state.in_(PREDICTED), videos.c.sha256.is_not(None)
    )
    return read.execute(query.order_by(videos.c.id.desc()).limit(1)).first()


def follow_home(engine: Engine, root: Path) -> None:
    """Where the home was moved or copied to another path, the paths in the database follow.

    Else each clip in a class folder would be one that a person had put there.
    """
    new = os.fsencode(root)
    with engine.begin() as read:
        old = _root_of(read, new)
    if old is None:
        return
    log.info("the home was at %s: the paths in the database follow", os.fsdecode(old))
    with engine.execution_options(writes=True).begin() as write:
        for column in ("path", "destination"):
            # Bytes joined by SQLite are text to it until they are cast.
            move = f"UPDATE videos SET {column} = CAST(:new || substr({column}, :rest) AS BLOB)"
            below = f"WHERE substr({column}, 1, :length) = :below"
            named = {"new": new, "rest": len(old) + 1, "length": len(old) + 1, "below": old + b"/"}
            write.execute(text(f"{move} {below}"), named)


def _root_of(read: Connection, new: bytes) -> bytes | None:
    """The home that the last files were filed in; None where that is `new`, or where there are none."""
    filed = (
        select(videos.c.path)
        .where(videos.c.state == "filed")
        .order_by(videos.c.id.desc())
        .limit(RECENT)
    )
    roots = Counter[bytes]()
    for path in read.execute(filed).scalars():
        if path.startswith(new + b"/"):
            return None
        roots.update({path.rpartition(top)[0] for top in _TOPS if top in path})
    return next((root for root, _ in roots.most_common(1)), None)

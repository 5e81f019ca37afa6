"""Which videos of the database the files of tables are. Only reads."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, and_, select

from daemon.database.files import is_same, row_of
from daemon.database.tables import videos
from daemon.home.folders import Found
from daemon.home.identity import display_name
from daemon.labels.importing.resolving import Labelled
from learner.files import sha256_of

AT_ONCE = 500  # files that one query looks for
# Until its file is read, a row may be of whatever lies at its path.
_UNREAD = ("waiting", "queued", "claimed")
_T = TypeVar("_T")


def chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The items, `AT_ONCE` at a time."""
    for first in range(0, len(items), AT_ONCE):
        yield items[first : first + AT_ONCE]


def at_paths(connection: Connection, files: Sequence[Found]) -> dict[bytes, int]:
    """The videos whose files lie where these files do, or came from there, by the paths."""
    at = {file.path: file for file in files}
    names = ("id", "state", "size", "mtime_ns", "sha256")
    columns = [videos.c[name] for name in names]
    found: dict[bytes, int] = {}
    for place in (videos.c.left_at, videos.c.destination, videos.c.moving_to, videos.c.path):
        here = and_(place.in_(list(at)), place.is_not(None))
        query = select(place.label("at"), *columns).where(here).order_by(videos.c.id)
        for row in connection.execute(query):
            if row.state in _UNREAD or is_same(row, at[row.at]):
                found[row.at] = row.id
    return found


def by_numbers(connection: Connection, files: Sequence[Found]) -> dict[bytes, Any]:
    """The videos whose files these are by their numbers, under another name; by the paths."""
    rows = defaultdict(list)
    inodes = [file.identity.inode for file in files]
    query = select(videos).where(videos.c.inode.in_(inodes)).order_by(videos.c.id.desc())
    for row in connection.execute(query).mappings():
        rows[row["inode"], row["size"], row["mtime_ns"]].append(row)
    found = {}
    for file in files:
        of_file = row_of(rows.get(file.identity[1:], ()), file)
        if of_file is not None:
            found[file.path] = of_file
    return found


def by_names(connection: Connection, labelled: Sequence[Labelled]) -> dict[str, set[int]]:
    """The contents of the videos that have the names of these, by the names.

    A name is that which tables show: with or without the folder of the inbox.
    """
    wanted = defaultdict(list)
    for one in labelled:
        text = one.name.replace("\\", "/")
        source, _, name = text.rpartition("/")
        wanted[display_name(os.fsencode(name))].append((one.name, source))
    columns = (videos.c.id, videos.c.name, videos.c.source, videos.c.duplicate_of)
    found = defaultdict(set)
    for row in connection.execute(select(*columns).where(videos.c.name.in_(list(wanted)))):
        for name, source in wanted[row.name]:
            if not source or source == row.source:
                found[name].add(row.duplicate_of or row.id)
    return found


def by_content(connection: Connection, contents: Sequence[str]) -> dict[str, Any]:
    """The first videos of these contents, by SHA-256: their rows."""
    query = select(videos).where(videos.c.sha256.in_(contents), videos.c.duplicate_of.is_(None))
    rows = connection.execute(query.order_by(videos.c.id.desc())).mappings()
    return {row["sha256"]: row for row in rows}


def hashes(
    connection: Connection,
    files: Sequence[Found],
    progress: Callable[[int, int | None], None],
) -> Mapping[bytes, str]:
    """The SHA-256 of those of the files that may be copies of known videos, by their paths.

    A file is read if a video of its size is known, and none that lies at its path.
    """
    copies = []
    for some in chunks(files):
        here = at_paths(connection, some)
        sizes = [file.identity.size for file in some]
        query = select(videos.c.size).where(videos.c.size.in_(sizes), videos.c.sha256.is_not(None))
        known = set(connection.scalars(query.distinct()))
        copies += [file for file in some if file.path not in here and file.identity.size in known]
    found = {}
    for number, file in enumerate(copies):
        progress(number, len(copies))
        try:
            found[file.path] = sha256_of(file.path, follow_links=False)
        except OSError:  # it is queued, and read again then
            continue
    return found

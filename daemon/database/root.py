"""Lets the paths in the database follow a home that was moved, copied or renamed.

Without that, each clip in a class folder would count as one that a person has put there.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import (
    Connection,
    Engine,
    LargeBinary,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.exc import OperationalError

from daemon.database.connection import is_outdated, opened
from daemon.database.expressions import lies_below
from daemon.database.files import PLACES
from daemon.database.tables import happenings, home, videos
from daemon.home.address import Server
from daemon.home.identity import identify
from daemon.home.mark import make_mark, require_mark

log = logging.getLogger(__name__)

RECENT = 1000  # filed videos whose paths show where the home was


def follow_home(engine: Engine, root: Path) -> None:
    """Change the paths in the database if the home lies at another path than before.

    Args:
        engine: Of the database.
        root: Where the home lies now, without links in the path.

    Raises:
        VidwatchError: the database, on a server, belongs to another home.
        PassingError: the home's share is not mounted.
    """
    new = os.fsencode(root)
    if engine.dialect.name != "sqlite":
        _follow_mark(engine, root)
        return
    with engine.begin() as connection:
        before = connection.scalar(select(home.c.root))
        if before == new:
            return
        former = _former_roots(connection, new) if before is None else [before]
    with engine.execution_options(writes=True).begin() as connection:
        if connection.scalar(select(home.c.root)) != before:
            return  # another process was faster
        for old in former:
            log.info("the home was at %s: the paths in the database follow", os.fsdecode(old))
            _move_paths(connection, old, new)
        connection.execute(delete(home))
        connection.execute(insert(home).values(root=new))


def require_mounted(database: Server) -> None:
    """Check, before a home's folders are made, that it is the one that the database belongs to.

    A new database belongs to none yet.

    Raises:
        PassingError: its share is not mounted, or the server is away.
        VidwatchError: it is another home.
    """
    with opened(database, read_only=True) as engine:
        try:
            mark = mark_of(engine)
        except OperationalError as error:
            if is_outdated(error):
                return
            raise
    if mark:
        require_mark(database.root, mark)


def mark_of(engine: Engine) -> str | None:
    """The mark of the home that a database on a server belongs to; None if none is noted yet."""
    with engine.begin() as connection:
        return connection.scalar(select(home.c.mark))


def _follow_mark(engine: Engine, root: Path) -> None:
    """Note which home it is that uses the database. Its paths are relative: see `HomePath`."""
    mark = mark_of(engine)
    if mark is None:
        made = make_mark(root)
        with engine.execution_options(writes=True).begin() as connection:
            mark = connection.scalar(select(home.c.mark)) or made
            connection.execute(delete(home))
            connection.execute(insert(home).values(root=os.fsencode(root), mark=mark))
    require_mark(root, mark)


def _move_paths(connection: Connection, old: bytes, new: bytes) -> None:
    last = connection.scalar(select(func.max(happenings.c.id))) or 0
    for column in (*PLACES, videos.c.left_at):
        rest = func.substr(column, len(old) + 1)
        # To SQLite, joined bytes are text until they are cast.
        moved = cast(literal(new, LargeBinary).concat(rest), LargeBinary)
        connection.execute(update(videos).where(lies_below(column, old)).values({column: moved}))
    # In the home, the files are where they were.
    connection.execute(delete(happenings).where(happenings.c.id > last))


def _former_roots(connection: Connection, new: bytes) -> list[bytes]:
    """The paths of the home that the rows of an older vidwatch name, but for `new`.

    An older vidwatch did not note where the home lies. A path alone does not show it: a folder
    above the home may also be called `labelled`, as may a class. So the files are asked: in the
    right home, they lie where their rows say. A home that was reached by a link, too, has several
    paths.
    """
    filed = select(videos.c.path, videos.c.size).where(videos.c.state == "filed")
    last = filed.order_by(videos.c.id.desc()).limit(RECENT)
    possible = Counter[bytes]()
    confirmed = Counter[bytes]()
    for path, size in connection.execute(last):
        for root, rest in _splits(path):
            possible[root] += 1
            confirmed[root] += _is_there(new + rest, size)
    if not possible:
        return []
    # If no file is there any more, the longest: a folder above it is rather called `labelled` than
    # a class in it.
    likeliest = max(possible, key=lambda root: (confirmed[root], possible[root], len(root)))
    links = {root for root in possible if root and os.path.realpath(root) == new}
    return sorted((links | {likeliest}) - {new})


def _splits(path: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The homes that a filed video's path may be in: each with the rest of the path."""
    parts = path.split(b"/")
    for at, name in enumerate(parts):
        n_below = len(parts) - at - 1
        is_class_folder = name in (b"classified", b"labelled") and n_below >= 2
        if at and (is_class_folder or (name == b"duplicates" and n_below == 1)):
            root = b"/".join(parts[:at])
            yield root, path[len(root) :]


def _is_there(path: bytes, size: int) -> bool:
    try:
        identity = identify(path)
    except OSError:
        return False
    return identity is not None and identity.size == size

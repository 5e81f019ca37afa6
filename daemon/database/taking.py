"""Takes files into hand at once: they are queued and claimed in one transaction.

So nothing is left in the queue of files that nobody works on, however a program ends.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, and_, or_, select, update

from daemon.database.arrivals import add_files, add_many, queue_again, unknown
from daemon.database.due import is_due
from daemon.database.records import Claimed
from daemon.database.tables import videos
from daemon.home.folders import Found


def to_do(connection: Connection, files: Sequence[Found], since: datetime) -> list[Found]:
    """Those of the files of archives that have no prediction, and that nobody works on.

    Args:
        connection: In a transaction.
        files: The files.
        since: A file that has failed since then is not tried again.
    """
    new = set(unknown(connection, files, stay=True))
    idle = {(row.path, row.size, row.mtime_ns) for row in connection.execute(_idle(files, since))}
    return [file for file in files if file in new or (file.path, *file.identity[2:]) in idle]


def take(
    connection: Connection,
    files: Sequence[Found],
    owner: str,
    now: datetime,
    lease: timedelta,
    *,
    since: datetime,
    is_remote: bool = False,
) -> list[Claimed]:
    """Take files that `to_do` gave into hand, unless another process was faster.

    Args:
        connection: In a transaction that writes.
        files: The files.
        owner: Signs the claims.
        now: The time.
        lease: How long the claims last.
        since: As for `to_do`.
        is_remote: Whether they lie where no path leads: then they are not looked at again.
    """
    there = {file.path: file for file in files}
    for row in _same(connection, _idle(files, since).where(videos.c.state == "failed"), there):
        queue_again(connection, row.id, there[row.path])
    new = unknown(connection, files, stay=True)
    if is_remote:
        add_many(connection, new, now)
    else:
        add_files(connection, new, now, background=True)
    # Other daemons claim from the same queue.
    queued = _idle(files, since).where(videos.c.state == "queued")
    mine = _same(connection, queued.with_for_update(skip_locked=True), there)
    return _claimed(connection, mine, owner, now + lease)


def take_again(
    connection: Connection,
    ids: Collection[int],
    limit: int,
    owner: str,
    now: datetime,
    lease: timedelta,
) -> list[Claimed]:
    """Take those of these videos into hand again that wait in the queue, and are due.

    Those that temporary trouble prevents are not.

    Args:
        connection: In a transaction that writes.
        ids: The videos.
        limit: How many at most.
        owner: Signs the claims.
        now: The time.
        lease: How long the claims last.
    """
    is_queued = and_(videos.c.state == "queued", videos.c.tries == 0)
    due = and_(videos.c.id.in_(list(ids)), is_queued, is_due(now))
    first = select(videos).where(due).order_by(videos.c.id).limit(limit)
    rows = connection.execute(first.with_for_update(skip_locked=True)).all()
    return _claimed(connection, rows, owner, now + lease)


def _idle(files: Sequence[Found], since: datetime) -> Select[Any]:
    """The rows of files that stay where they are, which wait, or have failed before `since`."""
    has_failed = and_(videos.c.state == "failed", videos.c.finished_at < since)
    return select(videos).where(
        videos.c.path.in_([file.path for file in files]),
        videos.c.on_filed == "leave",
        or_(videos.c.state == "queued", has_failed),
    )


def _same(connection: Connection, query: Select[Any], there: Mapping[bytes, Found]) -> list[Any]:
    """The rows whose file is the one that lies at their path, by its size and date."""
    rows = connection.execute(query).all()
    return [row for row in rows if there[row.path].identity[2:] == (row.size, row.mtime_ns)]


def _claimed(
    connection: Connection, rows: Sequence[Any], owner: str, until: datetime
) -> list[Claimed]:
    claim = {"state": "claimed", "claimed_by": owner, "lease_until": until, "tries": 0}
    these = videos.c.id.in_([row.id for row in rows])
    connection.execute(update(videos).where(these).values(**claim))
    return [Claimed.of(row) for row in rows]

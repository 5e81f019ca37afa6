"""Follows the numbers of file systems, which may change while no daemon runs."""

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    case,
    func,
    not_,
    select,
    update,
)

from daemon.database.files import in_its_place
from daemon.database.tables import videos
from daemon.home.answering import Answers

log = logging.getLogger(__name__)

LOOKED_AT = 100  # files of each file system
NEWEST = 1000  # rows, in which the numbers of filed videos' file systems are looked for
BATCH = 10_000  # ids that one transaction changes

Changes = Mapping[int, int]
"""The number that each file system has now, by the one it had before."""

_UNFINISHED = videos.c.finished_at.is_(None)


def follow_devices(engine: Engine) -> None:
    """Note anew the numbers of the file systems that the videos lie on.

    A file at the path of a video, with its inode, size and date, is that video's file. A few of
    them tell the number that their file system has now: unfinished ones, or else the newest.

    The oldest rows are changed first, and the unfinished ones last: if the daemon is ended in
    between, the next one finds the change again. But if file systems have exchanged their numbers,
    one transaction changes all rows, since a row that was changed looks like one that was not.
    """
    with engine.begin() as connection:
        last = connection.scalar(select(func.max(videos.c.id))) or 0
        changes = _changes(connection, last)
    if not changes:
        return
    log.info("%d file systems have another number than before", len(changes))
    is_exchange = not changes.keys().isdisjoint(changes.values())
    step = last if is_exchange else BATCH
    for first in range(1, last + 1, step):
        with engine.execution_options(writes=True).begin() as connection:
            _renumber_finished(connection, changes, first, first + step - 1)
            if first + step > last:
                _renumber_unfinished(connection, changes)


def _changes(connection: Connection, last: int) -> dict[int, int]:
    """The changes among the file systems of the unfinished videos and of the newest ones."""
    newest = and_(videos.c.finished_at.is_not(None), videos.c.id > last - NEWEST)
    known = videos.c.device.is_not(None)
    old = set[int]()
    for these in (_UNFINISHED, newest):
        old.update(connection.scalars(select(videos.c.device).where(these, known).distinct()))
    changes = {}
    for device in sorted(old):
        now = _device_now(connection, device, _UNFINISHED)
        if now is None:
            now = _device_now(connection, device, newest)
        if now not in (None, device):
            changes[device] = now
    return changes


def _device_now(connection: Connection, device: int, among: ColumnElement[bool]) -> int | None:
    """The number that a file system has now; None if none of its files is where it was.

    Only files of the rows `among` are looked at.
    """
    these = select(videos).where(among, videos.c.device == device).order_by(videos.c.id)
    numbers = Counter[int | None]()
    answers = Answers()
    for row in connection.execute(these.limit(LOOKED_AT)).mappings():
        with suppress(TimeoutError):  # of a share that is away, nothing can be known now
            if found := answers.of(row["origin"] or b"the home", partial(in_its_place, row)):
                numbers.update([found.device])
    return next((number for number, _ in numbers.most_common(1)), None)


def _renumber_finished(connection: Connection, changes: Changes, first: int, last: int) -> None:
    """Change those of the finished rows that have these ids."""
    these = and_(
        videos.c.id.between(first, last),
        videos.c.finished_at.is_not(None),
        videos.c.device.in_(list(changes)),
    )
    # One statement: two file systems may have exchanged their numbers.
    device_now = case(dict(changes), value=videos.c.device)
    connection.execute(update(videos).where(these).values(device=device_now))


def _renumber_unfinished(connection: Connection, changes: Changes) -> None:
    """Change the unfinished rows. One whose identity another row has by then gets no device."""
    # Two steps, since their identities are unique, and file systems may have exchanged numbers.
    these = and_(_UNFINISHED, videos.c.device.in_(list(changes)))
    rows = connection.execute(select(videos.c.id, videos.c.device).where(these)).all()
    if not rows:
        return
    connection.execute(update(videos).where(these).values(device=None))
    other = videos.alias()
    is_another = and_(
        other.c.finished_at.is_(None),
        other.c.device == bindparam("device"),
        *(other.c[name] == videos.c[name] for name in ("inode", "size", "mtime_ns")),
    )
    is_free = not_(select(other.c.id).where(is_another).exists())
    given = update(videos).where(videos.c.id == bindparam("video"), is_free)
    new = [{"video": row.id, "device": changes[row.device]} for row in rows]
    connection.execute(given.values(device=bindparam("device")), new)

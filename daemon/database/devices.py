"""Follows the numbers of file systems, which may change while no daemon runs."""

import logging
from collections import Counter
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, select, update

from daemon.database.files import in_its_place
from daemon.database.tables import videos

log = logging.getLogger(__name__)

LOOKED_AT = 100  # files of each file system


def follow_devices(engine: Engine) -> None:
    """Note anew the numbers of the file systems that the unfinished videos lie on.

    A file at the path of a video, with its inode, size and date, is that video's file. A few of
    them tell the number that their file system has now.
    """
    with engine.begin() as connection:
        number = select(videos.c.device).where(_on(videos.c.device.is_not(None))).distinct()
        changed = {old: _device_now(connection, old) for old in connection.scalars(number).all()}
        changed = {old: new for old, new in changed.items() if new not in (None, old)}
    if not changed:
        return
    log.info("%d file systems have another number than before", len(changed))
    # Two steps: two file systems may have exchanged their numbers.
    given = update(videos).prefix_with("OR IGNORE", dialect="sqlite")
    given = given.where(videos.c.id == bindparam("video"))
    with engine.execution_options(writes=True).begin() as connection:
        of_changed = _on(videos.c.device.in_(list(changed)))
        rows = connection.execute(select(videos.c.id, videos.c.device).where(of_changed)).all()
        connection.execute(update(videos).where(of_changed).values(device=None))
        new = [{"video": row.id, "device": changed[row.device]} for row in rows]
        connection.execute(given.values(device=bindparam("device")), new)


def _device_now(connection: Connection, device: int) -> int | None:
    """The number that a file system has now; None if none of its files is where it was."""
    these = select(videos).where(_on(videos.c.device == device)).order_by(videos.c.id)
    numbers = Counter[int | None]()
    for row in connection.execute(these.limit(LOOKED_AT)).mappings():
        if found := in_its_place(row):
            numbers.update([found.device])
    return next((number for number, _ in numbers.most_common(1)), None)


def _on(condition: Any) -> Any:
    return and_(videos.c.finished_at.is_(None), condition)

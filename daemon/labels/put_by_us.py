"""Which files in class folders vidwatch has put there itself: where they lie is no label."""

from collections.abc import Sequence

from sqlalchemy import Connection

from daemon.database.files import rows_at
from daemon.home.folders import Found


def not_put_by_us(connection: Connection, files: Sequence[Found]) -> list[Found]:
    """Those of the files that vidwatch neither put where they are nor is about to put there.

    It did if a row has the path and the identity of the file, but for the device, which may have
    another number by now. `waiting` rows do not count.

    It may have if a file is being moved there now. Which file lies there is known when that move is
    noted: a copy on another file system has an identity that no row has yet. The next search then
    finds a file of somebody else.
    """
    put_by_us = set()
    targets = set()
    columns = ("state", "moving_to", "inode", "size", "mtime_ns")
    rows = rows_at(connection, [file.path for file in files], *columns)
    for path, _, state, moving_to, *numbers in rows:
        if state != "waiting":
            put_by_us.add((path, *numbers))
        if moving_to == path:
            targets.add(path)
    return [
        file
        for file in files
        if file.path not in targets and (file.path, *file.identity[1:]) not in put_by_us
    ]

"""What is in the trash, and whether a video's file is."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from daemon.database.tables import videos
from daemon.database.trash import is_in_trash, size_of_trash
from daemon.home.folder import Home


@dataclass(frozen=True)
class TrashContent:
    """How much lies in the trash."""

    files: int
    bytes: int


def trash_content(connection: Connection, home: Home) -> TrashContent:
    """How much lies in the trash of a home, by the rows of the videos."""
    return TrashContent(*size_of_trash(connection, os.fsencode(home.trash)))


def removed_in_words(connection: Connection, row: Mapping[Any, Any]) -> str | None:
    """ "trash" if the file of a row of `videos` lies there, "deleted" if it did; None else."""
    if row[videos.c.trashed_at] is None or not is_in_trash(connection, row[videos.c.path]):
        return None
    return "trash" if row[videos.c.removed_at] is None else "deleted"

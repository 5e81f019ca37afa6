"""What was learned last from class folders, so that it can be taken back at once.

A person who drags hundreds of files into the wrong folder labels all of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from daemon.database.expressions import shown_name
from daemon.database.tables import labels, videos
from daemon.labels.queries import newest

# Files that one person moves at once are found within this time of each other.
APART = timedelta(minutes=1)
BY_FOLDERS = ("folder", "moved")


@dataclass(frozen=True)
class LastLearned:
    """Labels that count, that class folders gave one after the other, and that are of one class."""

    class_name: str | None
    """None: the clips were put into `_unsure`."""
    labels: tuple[int, ...]
    """Their ids, the newest first."""
    names: tuple[str, ...]
    """The names of their videos, in the same order."""
    since: datetime
    """When the first of them was noted."""
    until: datetime
    """When the last of them was noted."""


def last_learned(connection: Connection) -> LastLearned | None:
    """What class folders gave last; None if they gave no label that counts.

    The times count, not the ids: the labels of a class that was renamed get new ids, and keep
    their times.
    """
    given = newest().where(labels.c.source.in_(BY_FOLDERS)).add_columns(shown_name())
    given = given.join(videos, videos.c.id == labels.c.video_id)
    given = given.order_by(labels.c.created_at.desc(), labels.c.id.desc())
    run: list[Any] = []
    with connection.execute(given) as rows:  # the rest of many labels is never fetched
        for row in rows.mappings():
            if run and not _belong_together(run[-1], row):
                break
            run.append(row)
    if not run:
        return None
    return LastLearned(
        class_name=run[0]["class"],
        labels=tuple(row["id"] for row in run),
        names=tuple(row["shown_name"] for row in run),
        since=run[-1]["created_at"],
        until=run[0]["created_at"],
    )


def _belong_together(later: Any, earlier: Any) -> bool:
    """Whether two labels were given by one change of the folders."""
    apart: timedelta = later["created_at"] - earlier["created_at"]
    return apart <= APART and bool(later["class"] == earlier["class"])

"""Which unlabelled videos may be empty scenes: those in which least moves. Only reads."""

from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_

from daemon.database.expressions import as_now, shown_name
from daemon.database.tables import predictions, videos
from daemon.home.identity import is_there
from daemon.labels.next_clips import is_unlabelled, reviewable


@dataclass(frozen=True)
class StillVideo:
    """A video without a label, and how much moves in it."""

    id: int
    name: str
    """With the folder of the inbox that it came from."""
    predicted: str
    probability: float
    movement: float
    """The share of the picture that changes, from 0 to 1."""

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return asdict(self)


def still_videos(connection: Connection, most: int) -> list[StillVideo]:
    """The videos in which least moves, the stillest first, of those whose files are there.

    Args:
        connection: To the database.
        most: How many at most.
    """
    query = reviewable(
        shown_name(),
        videos.c.path,
        videos.c.destination,
        videos.c.moving_to,
        videos.c.movement,
        as_now(predictions.c["class"]).label("predicted"),
        predictions.c.probability,
    )
    query = query.where(and_(videos.c.movement.is_not(None), is_unlabelled()))
    query = query.order_by(videos.c.movement, videos.c.id)
    rows = connection.execute(query.execution_options(yield_per=100))
    there = (row for row in rows if is_there(row.path, row.destination, row.moving_to))
    found = [
        StillVideo(row.id, row.shown_name, row.predicted, row.probability, row.movement)
        for row in islice(there, most)
    ]
    rows.close()
    return found

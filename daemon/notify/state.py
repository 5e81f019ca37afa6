"""The state of a home in a few figures, as a broker keeps it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos
from daemon.report.counts import counts


def state_of(connection: Connection, now: datetime) -> dict[str, Any]:
    """How many clips are in which state, how many were filed today, and the last prediction.

    Args:
        connection: To the database.
        now: The time; today is the day of this machine's zone.
    """
    count = counts(connection)
    midnight = now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    is_today = videos.c.finished_at.between(midnight, now)
    today = func.count().filter(videos.c.state == "filed")
    newest = select(predictions.c["class"], predictions.c.probability, videos.c.name)
    newest = newest.join(videos, videos.c.id == predictions.c.video_id).where(that_counts())
    last = connection.execute(newest.order_by(predictions.c.id.desc()).limit(1)).first()
    return {
        "queued": count["queued"],
        "in_hand": count["in_hand"],
        "filed": count["filed"],
        "failed": count["failed"],
        "clips_today": connection.scalar(select(today).where(is_today)) or 0,
        "last_class": last[0] if last else None,
        "last_probability": last[1] if last else None,
        "last_name": last[2] if last else None,
    }

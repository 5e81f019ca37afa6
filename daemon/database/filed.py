"""Notes what became of a file that was moved."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, case, func, null, update

from daemon.database.files import Row
from daemon.database.records import FREED, Left, Moved
from daemon.database.tables import videos
from daemon.home.identity import Identity, display_name, lies_at


def note_move(connection: Connection, video_id: int, file: Moved, now: datetime) -> None:
    """Note what became of a file; nothing if a person has moved it on, and that is noted already.

    If the video was labelled while its file was moved, it has another destination now, and is moved
    on.
    """
    wanted = videos.c.destination
    change: dict[str, Any] = {
        **FREED,
        "moving_to": None,
        "destination": case((wanted == file.tried, null()), else_=wanted),
        # A file that is labelled is moved again, long after it was finished.
        "finished_at": func.coalesce(videos.c.finished_at, now),
    }
    is_predicted = videos.c.state == "classified"
    if file.path is None:
        error = "taken away or changed by someone before it was filed"
        change["error"] = case((is_predicted, error), else_=videos.c.error)
    else:
        change |= {"path": file.path, "name": display_name(file.path)}
        change |= file.left.columns() if file.left else {}
        change |= file.identity._asdict() if file.identity else {}
        change["state"] = case((is_predicted, "filed"), else_=videos.c.state)
    in_hand = and_(videos.c.id == video_id, videos.c.moving_to.is_not(None))
    connection.execute(update(videos).where(in_hand).values(**change))


def of_the_home(row: Row) -> dict[str, Any]:
    """What changes in the row of a file that was to stay where it came, and is in the home now.

    If the file has its former name, too, that one is left as it is, and is known.
    """
    if row["on_filed"] is None or row["left_at"] is not None:
        return {}
    identity = Identity(*(row[name] for name in Identity._fields))
    left = Left(row["path"], identity).columns() if lies_at(row["path"], identity) else {}
    return {"on_filed": None, **left}

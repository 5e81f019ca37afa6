"""Notes what became of files that were moved."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, case, func, null, update

from daemon.database.files import Row
from daemon.database.records import FREED, Left, Moved
from daemon.database.tables import videos
from daemon.home.identity import Identity, display_name, lies_at


def note_moves(connection: Connection, moved: Mapping[int, Moved], now: datetime) -> None:
    """Note what became of files; nothing if a person has moved one on, and that is noted already.

    If a video was labelled while its file was moved, it has another destination now, and is moved
    on.
    """
    rows: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for video_id, file in moved.items():
        place = _place(file)
        known = {"video": video_id, "tried": file.tried, "now": now}
        rows[tuple(place)].append(known | {f"new_{name}": place[name] for name in place})
    for names, values in rows.items():
        connection.execute(_noting(names), values)


def _place(file: Moved) -> dict[str, Any]:
    """The columns that say where a file is now; none if a person took it away first."""
    if file.path is None:
        return {}
    place = {"path": file.path, "name": display_name(file.path)}
    place |= file.left.columns() if file.left else {}
    return place | (file.identity._asdict() if file.identity else {})


@cache
def _noting(names: tuple[str, ...]) -> Update:
    """The statement for the files of which these columns change, and none for those taken away."""
    wanted = videos.c.destination
    tried = bindparam("tried", type_=wanted.type)
    now = bindparam("now", type_=videos.c.finished_at.type)
    change: dict[str, Any] = {
        **FREED,
        "moving_to": None,
        "destination": case((wanted == tried, null()), else_=wanted),
        # A file that is labelled is moved again, long after it was finished.
        "finished_at": func.coalesce(videos.c.finished_at, now),
    }
    is_predicted = videos.c.state == "classified"
    if names:
        change |= {name: bindparam(f"new_{name}", type_=videos.c[name].type) for name in names}
        change["state"] = case((is_predicted, "filed"), else_=videos.c.state)
    else:
        error = "taken away or changed by someone before it was filed"
        change["error"] = case((is_predicted, error), else_=videos.c.error)
    in_hand = and_(videos.c.id == bindparam("video"), videos.c.moving_to.is_not(None))
    return update(videos).where(in_hand).values(**change)


def of_the_home(row: Row) -> dict[str, Any]:
    """What changes in the row of a file that was to stay where it came, and is in the home now.

    If the file has its former name, too, that one is left as it is, and is known.
    """
    if row["on_filed"] is None or row["left_at"] is not None:
        return {}
    identity = Identity(*(row[name] for name in Identity._fields))
    left = Left(row["path"], identity).columns() if lies_at(row["path"], identity) else {}
    return {"on_filed": None, **left}

"""How many videos are in which state. Only reads."""

from sqlalchemy import Connection, and_, func, literal_column, select, true

from daemon.database.tables import STATES, videos


def counts(connection: Connection) -> dict[str, int]:
    """The number of videos in each state, and of three kinds more.

    `in_hand`: those claimed or not moved yet. `background`: those queued that wait for all others.
    `forgotten`: those that failed, and that a person has seen and wants to see no more: they do not
    count as `failed`.
    """
    # Of millions of videos, nearly all are filed: only the others are counted one by one.
    not_filed = [state for state in STATES if state != "filed"]
    by_state = select(videos.c.state, func.count().label("n")).group_by(videos.c.state)
    rows = connection.execute(by_state.where(videos.c.state.in_(not_filed)))
    found: dict[str, int] = {row.state: row.n for row in rows}
    total = connection.scalar(select(func.count()).select_from(videos)) or 0
    found["filed"] = total - sum(found.values())
    is_forgotten = and_(videos.c.state == "failed", videos.c.forgotten_at.is_not(None))
    forgotten = connection.scalar(select(func.count()).where(is_forgotten)) or 0
    unmoved = connection.scalar(select(func.count()).where(videos.c.destination.is_not(None))) or 0
    in_hand = found.get("claimed", 0) + unmoved
    # Written out, as in the index of queued videos: no row is read.
    is_queued = videos.c.state == literal_column("'queued'")
    is_last = videos.c.background == true()
    last = select(func.count(videos.c.background)).where(is_queued, is_last)
    more = {"in_hand": in_hand, "background": connection.scalar(last) or 0}
    more["forgotten"] = forgotten
    found["failed"] = found.get("failed", 0) - forgotten
    return {**{state: found.get(state, 0) for state in STATES}, **more}

"""What a reviewer did last on the page, as the labels in the database show it. Only reads."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from daemon.database.tables import labels
from daemon.labels.labels import newest_label

# Undo goes back so far among all labels, and so far among the reviewer's own.
RECENT = 100_000
MOST = 2000


@dataclass(frozen=True)
class Given:
    """The labels that a reviewer gave by one action."""

    at: datetime
    labels: dict[int, int]
    """The video of each label, by the label's id. A video can have several: if its class was
    renamed since, each label was given again by the new name."""


def last_given(connection: Connection, who: str, passed: Collection[datetime]) -> Given | None:
    """The last action of a reviewer that the reviewer has not undone; None if there is none.

    The labels of one action have the same time. It counts as undone if one of them was taken back
    by this reviewer on the page.

    Args:
        connection: To the database.
        who: The reviewer.
        passed: The times of actions that are left out.
    """
    columns = (labels.c.id, labels.c.video_id, labels.c.takes_back, labels.c.created_at)
    query = select(*columns).where(labels.c.source == "page", labels.c.who == who)
    # Without a bound, the labels of years would be read for a new reviewer.
    query = query.where(labels.c.id > newest_label(connection) - RECENT)
    rows = connection.execute(query.order_by(labels.c.id.desc()).limit(MOST)).all()
    taken_back = {row.takes_back for row in rows}
    undone = {row.created_at for row in rows if row.id in taken_back}
    given = [
        row
        for row in rows
        if row.takes_back is None and row.created_at not in undone and row.created_at not in passed
    ]
    if not given:
        return None
    at = given[0].created_at
    return Given(at, {row.id: row.video_id for row in reversed(given) if row.created_at == at})

"""What waits to be sent to each receiver, in the database.

A row is removed after it was sent. A daemon that is killed in between sends it again, with the same
id: at least once.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, func, insert, select, update

from daemon.database.connection import new_id
from daemon.database.tables import outbox, receivers
from daemon.home.receivers import AnyReceiver

log = logging.getLogger(__name__)

MOST_WAITING = 1_000_000  # events of one receiver; of more, the oldest are given up
_COLUMNS = [outbox.c[n] for n in ("id", "event", "event_id", "subject", "text", "created_at")]


@dataclass(frozen=True)
class Waiting:
    """An event that waits to be sent."""

    id: int
    event: str
    """One of `values.EVENTS`."""
    event_id: str
    subject: int | None
    """The row that it is about; None for trouble."""
    text: str | None
    """What is the trouble; None for any other event."""
    created_at: datetime


def follow_settings(
    engine: Engine, wanted: Mapping[str, AnyReceiver], now: datetime
) -> dict[str, int]:
    """Note who is told of events from now on; gives their ids by their names.

    A new receiver hears of nothing that came before. One that is gone leaves nothing behind.
    """
    writer = engine.execution_options(writes=True)
    ids = {}
    with writer.begin() as connection:
        known = {row.name: row for row in connection.execute(select(receivers))}
        gone = [row.id for name, row in known.items() if name not in wanted]
        connection.execute(delete(outbox).where(outbox.c.receiver_id.in_(gone)))
        connection.execute(delete(receivers).where(receivers.c.id.in_(gone)))
        for name, receiver in wanted.items():
            columns = {"events": list(receiver.events), "classes": list(receiver.classes)}
            if name in known:
                ids[name] = known[name].id
                this = update(receivers).where(receivers.c.id == ids[name])
                connection.execute(this.values(**columns))
            else:
                row = insert(receivers).values(name=name, since=now, **columns)
                ids[name] = new_id(connection.execute(row))
    return ids


class Outbox:
    """What waits for one receiver."""

    def __init__(self, engine: Engine, receiver_id: int, most: int = MOST_WAITING) -> None:
        self.engine = engine
        self._writer = engine.execution_options(writes=True)
        self._of_receiver = outbox.c.receiver_id == receiver_id
        self._this = update(receivers).where(receivers.c.id == receiver_id)
        self._most = most
        oldest_first = select(*_COLUMNS).where(self._of_receiver).order_by(outbox.c.id)
        self._oldest_first = oldest_first

    def oldest(self, limit: int) -> list[Waiting]:
        """The events that have waited longest, the oldest first."""
        with self.engine.begin() as connection:
            return [Waiting(*row) for row in connection.execute(self._oldest_first.limit(limit))]

    def count(self) -> int:
        """How many events wait."""
        query = select(func.count()).select_from(outbox).where(self._of_receiver)
        with self.engine.begin() as connection:
            return connection.scalar(query) or 0

    def sent(self, ids: Sequence[int], now: datetime) -> None:
        """These events were sent: the receiver can be reached."""
        with self._writer.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.id.in_(ids)))
            well = {"failure": None, "failing_since": None}
            connection.execute(self._this.values(delivered_at=now, **well))

    def reached(self) -> None:
        """The receiver can be reached, with nothing to send."""
        with self._writer.begin() as connection:
            connection.execute(self._this.values(failure=None, failing_since=None))

    def failed(self, reason: str, now: datetime) -> None:
        """The receiver cannot be reached."""
        since = func.coalesce(receivers.c.failing_since, now)
        with self._writer.begin() as connection:
            connection.execute(self._this.values(failure=reason, failing_since=since))

    def give_up(self, ids: Sequence[int]) -> None:
        """These events are never sent."""
        with self._writer.begin() as connection:
            n = connection.execute(delete(outbox).where(outbox.c.id.in_(ids))).rowcount
            connection.execute(self._this.values(given_up=receivers.c.given_up + n))

    def trim(self) -> int:
        """Give the oldest events up if too many wait; gives how many."""
        if (n := self.count() - self._most) <= 0:
            return 0
        oldest = select(outbox.c.id).where(self._of_receiver).order_by(outbox.c.id).limit(n)
        with self._writer.begin() as connection:
            connection.execute(delete(outbox).where(outbox.c.id.in_(oldest)))
            connection.execute(self._this.values(given_up=receivers.c.given_up + n))
        return n

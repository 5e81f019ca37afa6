"""The daemons that share a database on a server: each has a row, and renews it while it lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, update

from daemon.database.connection import opened
from daemon.database.tables import daemons
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import PassingError

SHARED_LEASE = timedelta(minutes=1)  # others wait for it if a daemon dies
REMEMBERED = timedelta(days=1)  # how long one that was killed is shown


@dataclass(frozen=True)
class Member:
    """A daemon, as its row says."""

    machine: str
    pid: int
    version: str
    model: str | None
    """The model that it predicts with; None while it starts, as the device."""
    device: str | None
    since: datetime
    seen_at: datetime
    """Its last sign of life."""
    clips: int
    """How many clips it has finished."""
    clips_a_minute: float
    """How many it finished a minute lately."""
    leads: bool
    """Whether it watches the inbox, files, trains and cleans."""
    notices: Mapping[str, str]

    def is_alive(self, now: datetime) -> bool:
        """Whether it gave a sign of life lately."""
        return self.seen_at + SHARED_LEASE >= now

    def to_json(self, now: datetime) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        times = {"since": self.since.isoformat(), "seen_at": self.seen_at.isoformat()}
        return {**vars(self), **times, "alive": self.is_alive(now)}


def announce(connection: Connection, member: Member) -> None:
    """Give a sign of life. Who leads is the only one: another one has died, or has stopped to."""
    if member.leads:
        others = update(daemons).where(daemons.c.machine != member.machine, daemons.c.leads)
        connection.execute(others.values(leads=False))
    row = dict(vars(member))
    this = update(daemons).where(daemons.c.machine == member.machine)
    if not connection.execute(this.values(**row)).rowcount:
        connection.execute(insert(daemons).values(**row))
    forgotten = member.seen_at - REMEMBERED
    connection.execute(delete(daemons).where(daemons.c.seen_at < forgotten))


def leave(engine: Engine, machine: str) -> None:
    """A daemon has ended."""
    with engine.execution_options(writes="shared").begin() as connection:
        connection.execute(delete(daemons).where(daemons.c.machine == machine))


def require_none_older(engine: Engine, at: datetime) -> None:
    """Check that no daemon of an older vidwatch works on a database that is to be upgraded.

    Its program does not know the new schema.

    Raises:
        PassingError: one does; names the machines.
    """
    with engine.begin() as connection:
        if not inspect(connection).has_table(daemons.name):
            return
        # Only what each version of the table has.
        rows = connection.execute(select(daemons.c.machine, daemons.c.seen_at)).all()
    if alive := sorted(row.machine for row in rows if row.seen_at + SHARED_LEASE >= at):
        trouble = f"daemons of an older vidwatch work on this database ({', '.join(alive)})"
        raise PassingError(f"{trouble}: stop them, and upgrade vidwatch on their machines")


def running_elsewhere(home: Home) -> list[str]:
    """The machines on which daemons work on a home whose database is on a server, this one too.

    Raises:
        VidwatchError: the server cannot be asked.
    """
    if not isinstance(home.database, Server):
        return []
    with opened(home.database, read_only=True) as engine, engine.begin() as connection:
        if not inspect(connection).has_table(daemons.name):
            return []
        return [one.machine for one in members(connection) if one.is_alive(now())]


def members(connection: Connection) -> list[Member]:
    """All daemons by the names of their machines, those too that died lately."""
    rows = connection.execute(select(daemons).order_by(daemons.c.machine)).mappings()
    return [Member(**row) for row in rows]

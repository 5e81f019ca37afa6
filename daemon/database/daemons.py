"""The daemons that share a database on a server: each has a row, and renews it while it lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text, update

from daemon.database.connection import opened
from daemon.database.tables import daemons
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import PassingError

SHARED_LEASE = timedelta(minutes=1)  # others wait for it if a daemon dies
NAMES = 0x76696478
"""The advisory locks of the names of machines. A daemon's session holds that of its machine."""
_HOLDERS = """FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND l.classid = :kind AND l.objid::bigint = hashtext({name})::bigint & 4294967295"""
_CONNECTED = text(
    f"SELECT machine FROM daemons d WHERE EXISTS (SELECT 1 {_HOLDERS.format(name='d.machine')})"
)
_ADDRESSES = text(
    "SELECT host(a.client_addr), host(inet_client_addr()) FROM pg_stat_activity a WHERE a.pid ="
    f" (SELECT l.pid {_HOLDERS.format(name=':machine')})"
)
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
    connected: bool = True
    """Whether the server has a connection of its: it loses that as soon as its process ends."""

    def is_alive(self, now: datetime) -> bool:
        """Whether it gave a sign of life lately: until then, its claims are its own."""
        return self.seen_at + SHARED_LEASE >= now

    def is_at_work(self, now: datetime) -> bool:
        """Whether it is alive and, as far as the server knows, has not been ended since."""
        return self.connected and self.is_alive(now)

    def to_json(self, now: datetime) -> dict[str, Any]:
        """One object; times in ISO 8601."""
        times = {"since": self.since.isoformat(), "seen_at": self.seen_at.isoformat()}
        return {**vars(self), **times, "alive": self.is_alive(now)}


def announce(connection: Connection, member: Member) -> None:
    """Give a sign of life. Who leads is the only one: another one has died, or has stopped to."""
    if member.leads:
        others = update(daemons).where(daemons.c.machine != member.machine, daemons.c.leads)
        connection.execute(others.values(leads=False))
    row = {name: value for name, value in vars(member).items() if name in daemons.c}
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
    """All daemons by the names of their machines, those too that died lately.

    None if the database is a file: it has one daemon, and no sessions that could be asked for.
    """
    if connection.dialect.name == "sqlite":
        return []
    rows = connection.execute(select(daemons).order_by(daemons.c.machine)).mappings().all()
    connected = set(connection.scalars(_CONNECTED, {"kind": NAMES}))
    return [Member(**row, connected=row["machine"] in connected) for row in rows]


def taken_by(connection: Connection, machine: str) -> str:
    """Which daemon has the name of a machine, for people: where it connects from."""
    row = connection.execute(_ADDRESSES, {"kind": NAMES, "machine": machine}).first()
    there, here = row or (None, None)
    if there is None or there == here:
        return f"another daemon{f' at {there}' if there else ''} has it"
    return f"the daemon of another machine, {there}, has it (this one is {here})"

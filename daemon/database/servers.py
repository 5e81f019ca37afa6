"""Whether a PostgreSQL server, and the database on it, can be used by vidwatch."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, inspect

from daemon.database.schemas import restoring
from daemon.home.address import Server
from learner.errors import VidwatchError

OLDEST = 14
"""The oldest PostgreSQL: `idle_session_timeout` came with it. The tests run on 15."""
ENCODING = "UTF8"
VERSIONS = "alembic_version"
NAME_ANOTHER = "name an empty database in the setting 'database'"


@dataclass(frozen=True)
class Facts:
    """What a server says of itself."""

    version: str
    """Such as "15.4"."""
    major: int
    encoding: str
    is_replica: bool
    is_read_only: bool
    """Whether it is set to refuse changes."""
    most: int
    """How many connections it takes from users that are not its administrators."""
    used: int
    """How many of those there are."""
    ahead: float
    """By how many seconds its clock is before that of this machine."""


def facts(connection: Connection) -> Facts:
    """What the server of a connection says of itself."""
    before = datetime.now(UTC)
    row = connection.exec_driver_sql(
        """SELECT split_part(current_setting('server_version'), ' ', 1),
        current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
        pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on',
        current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
        clock_timestamp()"""
    ).one()
    middle = before + (datetime.now(UTC) - before) / 2
    version, major, encoding, is_replica, is_read_only, most, used, clock = row
    return Facts(
        version=version,
        major=major,
        encoding=encoding,
        is_replica=is_replica,
        is_read_only=is_read_only,
        most=most,
        used=used,
        ahead=(clock - middle).total_seconds(),
    )


def require_usable(connection: Connection, server: Server) -> None:
    """Check that the database is ours or empty, and that the server can hold it.

    Raises:
        VidwatchError: it is of another program, or the server is too old.
    """
    found = facts(connection)
    if problem := unfit(found):
        raise VidwatchError(f"database {server}: {problem}")
    tables = set(inspect(connection).get_table_names())
    if not tables or {VERSIONS, "videos"} <= tables:
        return
    if tables == {VERSIONS}:
        query = f"SELECT count(*) FROM {VERSIONS}"
        if not connection.exec_driver_sql(query).scalar():
            return
    which = ", ".join(sorted(tables)[:3])
    problem = f"it holds tables of another program ({which})"
    raise VidwatchError(f"database {server}: {problem}; {NAME_ANOTHER}")


def unfit(found: Facts) -> str | None:
    """Why the server can hold no database of vidwatch; None if it can."""
    if found.major < OLDEST:
        return f"it is PostgreSQL {found.version}; vidwatch needs {OLDEST} or newer (tried: 15)"
    if found.encoding != ENCODING:
        problem = f"its encoding is {found.encoding}, which not all names can be written in"
        return f"{problem}; make one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
    return None


def require_no_restore(connection: Connection, server: Server) -> None:
    """Check that no restore was ended before it was done.

    Raises:
        VidwatchError: one was.
    """
    if restoring(connection) is not None:
        hint = "give the same 'vidwatch restore' again"
        raise VidwatchError(f"database {server}: a restore was not completed; {hint}")

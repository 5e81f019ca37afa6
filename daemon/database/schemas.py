"""Moves all that a database on a server holds to another schema, and says which one is in use.

A schema is to PostgreSQL what a folder is to files: the same names may be in several.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from daemon.database.connection import opened
from daemon.home.address import Server
from learner.errors import PassingError

RESTORING = "vidwatch_restoring"
"""A schema of this name is there while a restore is under way. Its comment names the old one."""
_DROPPED = "vidwatch_dropped"

_OF_EXTENSION = "SELECT FROM pg_depend d WHERE d.objid = o.oid AND d.deptype = 'e'"
_HERE = "current_schema()::regnamespace"
_RELATIONS = f"""SELECT format('%%s %%I.%%I', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END,
    current_schema(), relname) FROM pg_class o
    WHERE relnamespace = {_HERE} AND relkind IN ('r', 'v') AND NOT EXISTS ({_OF_EXTENSION})"""
_FUNCTIONS = f"""SELECT format('FUNCTION %%I.%%I(%%s)', current_schema(), proname,
    pg_get_function_identity_arguments(oid)) FROM pg_proc o
    WHERE pronamespace = {_HERE} AND NOT EXISTS ({_OF_EXTENSION})"""
# Not this process: it has a second connection, which keeps daemons from beginning meanwhile.
_OTHERS = """SELECT o.application_name || coalesce(' at ' || host(o.client_addr), '')
    FROM pg_stat_activity o, pg_stat_activity own
    WHERE own.pid = pg_backend_pid() AND o.datname = own.datname
    AND o.application_name LIKE 'vidwatch %%'
    AND (o.application_name, o.client_addr)
    IS DISTINCT FROM (own.application_name, own.client_addr)"""


@dataclass(frozen=True)
class Restoring:
    """A restore that is under way, or that was ended on its way."""

    kept: str
    """The schema that holds the old content; "" if there was none."""


def schema_in_use(server: Server) -> str:
    """The schema in which the tables are, or will be."""
    with opened(server, read_only=True) as engine, engine.begin() as connection:
        name: str | None = connection.exec_driver_sql("SELECT current_schema()").scalar()
    return name or "public"


def restoring(connection: Connection) -> Restoring | None:
    """The restore that is under way; None if there is none."""
    query = f"""SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace
        WHERE nspname = '{RESTORING}'"""
    found = connection.exec_driver_sql(query).scalar()
    return None if found is None else Restoring(found)


def begin_restore(server: Server, name: str) -> Server | None:
    """Move the tables to a new schema, and note that a restore is under way.

    What another restore has made, which was ended before it was done, is removed.

    Args:
        server: The database.
        name: What the schema is to be called.

    Returns:
        The database with that schema; None if there were no tables.

    Raises:
        PassingError: other programs use the database.
    """
    with opened(server) as engine, engine.execution_options(writes=True).begin() as connection:
        _require_alone(server, connection)
        before = restoring(connection)
        if before is not None:
            _move_all(connection, _DROPPED)
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_DROPPED} CASCADE")
            return replace(server, schema=before.kept) if before.kept else None
        is_moved = _move_all(connection, name)
        connection.exec_driver_sql(f"CREATE SCHEMA {RESTORING}")
        if is_moved:
            connection.exec_driver_sql(f"COMMENT ON SCHEMA {RESTORING} IS '{name}'")
    return replace(server, schema=name) if is_moved else None


def undo_restore(server: Server, kept: Server | None) -> None:
    """Bring the old content back, in the place of whatever is there."""
    with opened(server) as engine, engine.execution_options(writes=True).begin() as connection:
        here = connection.exec_driver_sql("SELECT current_schema()").scalar()
        _move_all(connection, _DROPPED)
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_DROPPED} CASCADE")
        if kept and kept.schema:
            connection.exec_driver_sql(f'SET LOCAL search_path TO "{kept.schema}"')
            _move_all(connection, str(here), make=False)
            connection.exec_driver_sql(f'DROP SCHEMA "{kept.schema}"')
        connection.exec_driver_sql(f"DROP SCHEMA {RESTORING}")


def end_restore(server: Server) -> None:
    """Note that the restore is done."""
    with opened(server) as engine, engine.execution_options(writes=True).begin() as connection:
        connection.exec_driver_sql(f"DROP SCHEMA {RESTORING}")


def _require_alone(server: Server, connection: Connection) -> None:
    others = connection.exec_driver_sql(_OTHERS).scalars().all()
    if others:
        trouble = f"database {server} cannot be replaced now: {', '.join(sorted(others))} use it"
        raise PassingError(f"{trouble}; end them (vidwatch run, vidwatch review), and try again")


def _move_all(connection: Connection, schema: str, *, make: bool = True) -> bool:
    """Move all tables, views and functions from the schema in use; False if there are none."""
    found: list[Any] = []
    for query in (_RELATIONS, _FUNCTIONS):
        found += connection.exec_driver_sql(query).scalars().all()
    if not found:
        return False
    if make:
        connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
    for one in found:
        connection.exec_driver_sql(f'ALTER {one} SET SCHEMA "{schema}"')
    return True

"""Whether the PostgreSQL server of a home is fit for vidwatch. Changes nothing."""

from collections.abc import Iterator

from daemon.database import dumps
from daemon.database.connection import opened
from daemon.database.servers import (
    Facts,
    facts,
    require_no_restore,
    require_usable,
    unfit,
)
from daemon.database.upgrade import head, revision_of
from daemon.home.address import Server, who_else_reads
from daemon.maintenance.finding import Line
from learner.errors import VidwatchError

FREE = 20  # connections: a daemon has up to fifteen, each command one or two
APART = 5.0  # seconds between the clocks of this machine and of the server


def check_server(server: Server) -> Iterator[Line]:
    """All that can be told of the server, and of the database on it."""
    if server.password_file and (problem := who_else_reads(server.password_file)):
        yield Line("settings", "warning", f"database_password_file: {problem}")
    try:
        with opened(server, read_only=True) as engine, engine.begin() as connection:
            found = facts(connection)
            yield from _lines(server, found)
            if unfit(found):
                return
            require_usable(connection, server)
            require_no_restore(connection, server)
        current = revision_of(server)
        dumps.require_programs(found.major)
    except VidwatchError as error:
        yield Line("database", "problem", str(error))
        return
    if current is None:
        hint = f"make its tables: vidwatch init {server.root}"
        yield Line("database", "problem", f"{server} is empty; {hint}")
    elif current != head():
        hint = "the daemon brings it up to date when it starts, as does 'vidwatch init'"
        yield Line("database", "warning", f"{server} has the schema {current}; {hint}")


def _lines(server: Server, found: Facts) -> Iterator[Line]:
    text = f"PostgreSQL {found.version} answers at {server}"
    if problem := unfit(found):
        yield Line("server", "problem", f"{server}: {problem}")
    elif found.is_replica or found.is_read_only:
        kind = "a replica" if found.is_replica else "set to be read only"
        hint = "name the primary in the setting 'database'"
        yield Line(
            "server", "problem", f"{text}, and is {kind}: nothing can be noted there; {hint}"
        )
    else:
        yield Line("server", "ok", f"{text}: the primary, {found.encoding}; no extension is needed")
    free = found.most - found.used
    if free < FREE:
        hint = "raise max_connections there"
        text = f"only {free} of {found.most} connections are free; {hint}"
        yield Line("server", "warning", text)
    else:
        yield Line("server", "ok", f"{free} of {found.most} connections are free")
    if abs(found.ahead) > APART:
        way = "ahead of" if found.ahead > 0 else "behind"
        hint = "is it set by the network on both? timedatectl shows it"
        text = f"its clock is {abs(found.ahead):.0f} s {way} that of this machine; {hint}"
        yield Line("server", "warning", text)
    else:
        yield Line("server", "ok", "its clock and that of this machine agree")

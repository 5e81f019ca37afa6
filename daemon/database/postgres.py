"""What PostgreSQL alone knows: how a server is reached, and what its errors mean.

psycopg is imported when a server is first connected to: a home with a SQLite file needs none.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, NullPool, create_engine, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.home.address import Server
from daemon.home.clock import follow
from learner.errors import PassingError, VidwatchError

WRITER = 0x76696477
"""The advisory lock of those that write: as in SQLite, one after the other."""

# lock_not_available, deadlock_detected, serialization_failure
LOCKED = ("55P03", "40P01", "40001")
# Connections, resources (a full disk), operators (a shutdown, a start), the system (its disk), and
# a transaction in which this process stood still.
PASSING = ("08", "53", "57", "58", "25P03")
READ_ONLY = ("25006", "0A000")
OUTDATED = ("42P01", "42703")
REFUSED_CODES = ("28", "3D000", "42501")
# libpq gives no code for these. They are in English unless the server is told otherwise; then a
# wrong password counts as trouble that may pass, and is shown all the same. A host name that is not
# known is not among them: after a boot, the network may not be there yet.
REFUSED = (
    "password authentication failed",
    "no password supplied",
    "does not exist",
    "no pg_hba.conf entry",
    "authentication failed",
    "definition of service",
    "is not permitted to log in",
    "does not support SSL",
)
TIMEOUTS = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5}
"""Seconds until a server that is away is noticed."""

GONE = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""When the server ends the connection of a machine that is gone, and its locks with it: seconds."""
STILL = 30_000
"""After so many ms it ends that of a process that stands still while it holds locks."""
GIVEN_UP = 10_000  # ms after which the daemon counts the session as lost: sooner than the server

FOLDERS = ("", "inbox", "classified", "labelled", "failed", "duplicates")
"""The home's folders, which may be file systems of their own; see `columns.FileSystem`."""


def connect_server(server: Server, *, read_only: bool, patience: float) -> Engine:
    """As `connection.connect`, on a PostgreSQL server.

    A transaction that writes waits until no other one does. One that writes with "shared" runs
    beside others of its kind. A reader sees the state of one instant.

    Raises:
        VidwatchError: the extra `postgres` is not installed.
    """
    options = {**GONE, "lock_timeout": round(patience * 1000)}
    engine = _engine(server, options, TIMEOUTS, pool_pre_ping=True)
    # Read by the types of columns.
    vars(engine.dialect)["home_root"] = os.fsencode(server.root)
    vars(engine.dialect)["file_systems"] = _file_systems(server.root)
    event.listen(engine, "connect", _follow_clock)
    event.listen(engine, "connect", _take_nul)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        if not writes or read_only:
            mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
            connection.exec_driver_sql(f"SET TRANSACTION {mode}")
            return
        connection.exec_driver_sql("SET TRANSACTION READ WRITE")  # refused by a replica
        kind = "_shared" if writes == "shared" else ""
        limit = f"set_config('idle_in_transaction_session_timeout', '{STILL}', true)"
        connection.exec_driver_sql(f"SELECT {limit}, pg_advisory_xact_lock{kind}({WRITER})")

    return engine


def connect_session(server: Server) -> Engine:
    """An engine for connections that hold locks. Each statement is a transaction of its own."""
    timeouts = {**TIMEOUTS, "tcp_user_timeout": GIVEN_UP}
    return _engine(server, GONE, timeouts, poolclass=NullPool, isolation_level="AUTOCOMMIT")


def _engine(
    server: Server, options: Mapping[str, object], timeouts: Mapping[str, int], **more: Any
) -> Engine:
    _require_driver(server)
    url = make_url(server.url)
    if server.password is not None:
        url = url.set(password=server.password)
    settings = {"timezone": "UTC", "datestyle": "ISO", **options}
    if server.schema:
        settings["search_path"] = server.schema
    given = " ".join(f"-c {name}={value}" for name, value in settings.items())
    engine = create_engine(
        url,
        connect_args={
            "client_encoding": "utf8",  # also of a server whose own is none, which is then refused
            "application_name": f"vidwatch {os.getpid()}",
            **({"sslpassword": server.key_password} if server.key_password else {}),
            "options": f"{url.query.get('options', '')} {given}".strip(),
            **{name: value for name, value in timeouts.items() if name not in url.query},
        },
        hide_parameters=True,
        **more,
    )
    event.listen(engine, "handle_error", _as_operational)
    return engine


def _file_systems(root: Path) -> dict[int, int]:
    """The numbers that are stored for the file systems of the home's folders, by their own."""
    stored: dict[int, int] = {}
    for number, name in enumerate(FOLDERS):
        with suppress(OSError):
            stored.setdefault((root / name).stat().st_dev, number)
    return stored


def _follow_clock(connection: Any, _: object) -> None:
    (moment,) = connection.execute("SELECT clock_timestamp()").fetchone()
    connection.rollback()
    follow(moment)


def without_nul(value: str) -> str:
    """A text as PostgreSQL takes it: a sign stands for each NUL.

    They come from the tags of videos, and from programs that say what is wrong with one.
    """
    return value.replace("\0", "\N{SYMBOL FOR NULL}")


def _take_nul(connection: Any, _: object) -> None:
    """Let texts with a NUL be written."""
    from psycopg.types.string import StrDumper

    class Dumper(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(without_nul(obj))

    connection.adapters.register_dumper(str, Dumper)


def conninfo(server: Server) -> str:
    """How PostgreSQL's own programs reach the server: without the password.

    Raises:
        VidwatchError: the extra `postgres` is not installed.
    """
    _require_driver(server)
    from psycopg.conninfo import make_conninfo

    url = make_url(server.url)
    dialect: Any = url.get_dialect()()
    _, words = dialect.create_connect_args(url)
    return make_conninfo(**words)


def _as_operational(context: ExceptionContext) -> None:
    """Let trouble of the server be one kind of error, as with SQLite.

    psycopg has several: a closed connection, a replica and a missing table differ in class.
    """
    error: Any = context.original_exception
    if end := _asked_end(error):
        raise end
    known = (*PASSING, *LOCKED, *READ_ONLY, *OUTDATED, *REFUSED_CODES)
    if isinstance(context.sqlalchemy_exception, OperationalError):
        return
    if _code(error).startswith(known) or type(error).__name__ == "InterfaceError":
        raise OperationalError(None, None, error) from error


def _asked_end(error: BaseException) -> BaseException | None:
    """The Ctrl-C or SIGTERM that an error came of; None if it came of none.

    If one interrupts a statement, SQLAlchemy tidies the connection up, and psycopg refuses that.
    """
    before = error.__context__
    while before is not None and not isinstance(before, KeyboardInterrupt | SystemExit):
        before = before.__context__
    return before


def explained(error: DatabaseError, server: Server) -> VidwatchError:
    """What an error of a server means to people, and what to do about it."""
    reason = one_line(error.orig)
    if is_locked(error.orig):
        return PassingError(f"database {server} is in use by another program; try again")
    if is_read_only(error.orig):  # a replica may be promoted
        return PassingError(f"database {server}: {reason}")
    if is_outdated(error.orig):
        hint = f"it is not up to date: run vidwatch init {server.root}"
        return VidwatchError(f"database {server}: {reason}; {hint}")
    if is_passing(error.orig):
        return PassingError(f"database {server}: {reason}; is the server running? Try again")
    hint = "the setting 'database', PGPASSWORD, a service file or 'database_password_file' say how"
    return VidwatchError(f"database {server}: {reason}; {hint}")


def is_locked(error: BaseException | None) -> bool:
    """Whether another program held what we wait for, or one of the two had to give way."""
    return _code(error).startswith(LOCKED)


def is_passing(error: BaseException | None) -> bool:
    """Whether it may pass by itself: the server is away, stops, starts, or has no room."""
    if not type(error).__module__.startswith("psycopg"):
        return False
    if code := _code(error):
        return code.startswith((*PASSING, *LOCKED))
    return not is_refusal(str(error))


def is_refused(error: BaseException | None) -> bool:
    """Whether the server will not let us in: a wrong password, or no such user or database."""
    if not type(error).__module__.startswith("psycopg"):
        return False
    return _code(error).startswith(REFUSED_CODES) or (not _code(error) and is_refusal(str(error)))


def is_outdated(error: BaseException | None) -> bool:
    """Whether a table or column is missing."""
    return _code(error).startswith(OUTDATED)


def is_refusal(reason: str) -> bool:
    """Whether a text of the client library says that the server will never let us in."""
    return any(text in reason for text in REFUSED)


def is_read_only(error: BaseException | None) -> bool:
    """Whether the server takes no changes: it is a replica, or is set so."""
    return _code(error).startswith(READ_ONLY)


def one_line(error: BaseException | None) -> str:
    """What the server or its client says, without the lines that explain it further.

    What to do is said if it takes no changes: its own words hide that.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0].removeprefix("connection failed: ") if lines else type(error).__name__
    if not is_read_only(error):
        return reason
    return f"{reason}; it is a replica, or is set to be read only: name the primary in 'database'"


def _require_driver(server: Server) -> None:
    if find_spec("psycopg") is None:
        hint = "pip install 'vidwatch[postgres]'"
        raise VidwatchError(f"database {server}: psycopg is not installed: {hint}")


def _code(error: BaseException | None) -> str:
    """The SQLSTATE; "" if there is none."""
    return getattr(error, "sqlstate", None) or ""

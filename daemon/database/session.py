"""A connection of its own, on which a daemon holds PostgreSQL's locks: of its name, and as leader.

The server lets go of them when the connection ends: when the process or its machine dies. It ends
that of the one that leads, too, when the process stands still: another one leads then.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from daemon.database.connection import explaining, reason_of
from daemon.database.daemons import NAMES, running_elsewhere, taken_by
from daemon.database.postgres import STILL, connect_session
from daemon.home.address import Server
from daemon.home.folder import Home
from daemon.home.machine import ANOTHER_NAME
from learner.errors import PassingError

log = logging.getLogger(__name__)

_NAME = text("SELECT pg_try_advisory_lock(:kind, hashtext(:machine))")
_TAKE = text("SELECT pg_try_advisory_lock(:kind)")
_RESIGN = text("SELECT pg_advisory_unlock(:kind)")
_SILENCE = text("SELECT set_config('idle_session_timeout', :limit, false)")
_WORK = text("SELECT pg_try_advisory_lock_shared(:kind)")
WORK = 0x7669647A
"""The advisory lock that daemons share, and that who needs the home alone has for itself."""
LEADER = 0x76696479
"""The advisory lock of the one that leads."""


@contextmanager
def without_daemons(server: Server) -> Iterator[None]:
    """Let no daemon begin, on no machine.

    Raises:
        PassingError: one works on the database, or another command needs it for itself.
    """
    engine = connect_session(server)
    try:
        with explaining(server), engine.connect() as connection:
            if not connection.scalar(_TAKE, {"kind": WORK}):
                trouble = f"daemons, or another command that needs it for itself, use {server}"
                raise PassingError(f"{trouble}; stop them on all machines first")
            yield
    finally:
        engine.dispose()


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold a home while no daemon works on it, on no machine.

    Raises:
        PassingError: one does.
        VidwatchError: this user may not write in the home, or the server cannot be asked.
    """
    with home.lock(is_daemon=False):
        if machines := running_elsewhere(home):
            trouble = f"daemons work on {home.root} on other machines ({', '.join(machines)})"
            raise PassingError(f"{trouble}; stop them first")
        server = home.database
        with without_daemons(server) if isinstance(server, Server) else nullcontext():
            yield


class Session:
    """Whether this daemon leads is asked at the server each time: it must stop at once if not."""

    def __init__(self, server: Server, machine: str) -> None:
        """Nothing is held yet."""
        self._engine = connect_session(server)
        self._machine = machine
        self._connection: Connection | None = None
        self._leads = False
        self._using = threading.Lock()

    def open(self) -> None:
        """Connect, and hold the machine's name.

        Raises:
            PassingError: another daemon has it.
            OperationalError: the server cannot be reached.
        """
        with self._using:
            self._open()

    def _open(self) -> None:
        connection = self._engine.connect()
        if not connection.scalar(_WORK, {"kind": WORK}):
            connection.close()
            trouble = "a command needs the home for itself (restore, check --repair)"
            raise PassingError(f"{trouble}: wait until it has ended")
        values = {"kind": NAMES, "machine": self._machine}
        if not connection.scalar(_NAME, values):
            holder = taken_by(connection, self._machine)
            connection.close()
            trouble = f"the machine name {self._machine} is taken: {holder}"
            raise PassingError(f"{trouble}; {ANOTHER_NAME}")
        self._connection = connection

    def lead(self) -> bool:
        """Try to become the one that leads; gives whether this daemon does now."""
        with self._using:
            try:
                if self._connection is None:
                    self._open()
                assert self._connection
                if not self._leads:
                    values = {"kind": LEADER}
                    self._leads = bool(self._connection.scalar(_TAKE, values))
                    if self._leads:
                        self._connection.execute(_SILENCE, {"limit": str(STILL)})
            except DBAPIError as error:
                self._lose(error)
            except PassingError:  # the server has not noticed yet that our last connection ended
                return False
            return self._leads

    def leads(self) -> bool:
        """Whether this daemon leads still. Once it does not, `lead` may change that."""
        with self._using:
            if self._leads and self._connection is not None:
                try:
                    self._connection.scalar(text("SELECT 1"))
                except DBAPIError as error:
                    self._lose(error)
            return self._leads

    def resign(self) -> None:
        """Let another daemon lead."""
        with self._using:
            if self._leads and self._connection is not None:
                self._leads = False
                try:
                    self._connection.execute(_RESIGN, {"kind": LEADER})
                    self._connection.execute(_SILENCE, {"limit": "0"})
                except DBAPIError as error:
                    self._lose(error)

    def close(self) -> None:
        """Let go of all."""
        with self._using:
            self._leads = False
            if self._connection is not None:
                with suppress(DBAPIError):
                    self._connection.close()
            self._connection = None
            self._engine.dispose()

    def _lose(self, error: DBAPIError) -> None:
        if not isinstance(error, OperationalError):
            raise error
        if self._leads:
            log.warning("the connection of the daemon that leads has ended (%s)", reason_of(error))
        self._leads = False
        if self._connection is not None:
            self._connection.invalidate()
            with suppress(DBAPIError):
                self._connection.close()
        self._connection = None

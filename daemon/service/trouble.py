"""What the daemon does while its database is locked, or cannot be written for another reason."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.classify.filing import StoppedError
from daemon.database.connection import (
    connect,
    is_away,
    is_locked,
    is_passing,
    is_read_only,
    is_refused,
    reason_of,
)
from daemon.database.holder import UNKNOWN, holder, holding_processes
from daemon.home.address import Database, Server
from daemon.home.clock import local_time, now
from daemon.home.folder import Lock
from daemon.service.schedule import NotNowError
from daemon.service.stopping import Stop
from learner.errors import PassingError

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE = 2  # seconds
NOTICED = 3.0  # seconds: a program that keeps the database for longer is shown


def patiently(begin: Callable[[], T], stop: Stop, lock: Lock) -> T:
    """A step of the start, tried again while the database is locked or its disk is full.

    Other trouble (it cannot be opened, or written) may pass, too, but nobody knows when: a later
    start tries that. But a server that will never let us in is for a person.

    Raises:
        OperationalError: a server refuses the user, the password or the database.
        PassingError: the database cannot be used for another reason.
        StoppedError: the daemon was told to stop.
    """
    while not stop.asked:
        try:
            result = begin()
        except OperationalError as error:
            if is_refused(error):
                raise
            if not is_passing(error):
                raise PassingError(f"the database cannot be used: {reason_of(error)}") from error
            note_trouble(lock, error)
            time.sleep(0 if is_locked(error) else PAUSE)
        else:
            lock.note("database", None)
            return result
    raise StoppedError


class LockWatch:
    """Shows in `vidwatch status` which program has locked the database, as soon as it is long.

    What the daemon itself does would show that late: each of its changes waits for half a minute
    first, and an idle daemon changes nothing.
    """

    def __init__(self, database: Database, note: Callable[[str, str | None], None]) -> None:
        """Make it; `note` shows a notice under a subject, or takes it back (None)."""
        self._path = database
        self._note = note
        self._engine = connect(database, patience=NOTICED)
        self._noted: tuple[str, datetime] | None = None  # which program, and since when

    def close(self) -> None:
        """Close the database's file."""
        self._engine.dispose()

    def tend(self, now: datetime) -> bool:
        """Try whether the database can be written now; gives whether it can."""
        try:
            with self._engine.execution_options(writes=True).begin():
                pass
        except OperationalError as error:
            if not is_locked(error):
                raise
            self._show_holder(now)
            return False
        self._noted = None
        self._note("database in use", None)
        return True

    def _show_holder(self, now: datetime) -> None:
        if isinstance(self._path, Server):
            self._show(UNKNOWN, now)
        elif holding_processes(self._path) != {os.getpid()}:  # else one of our own changes
            self._show(holder(self._path), now)

    def _show(self, program: str, now: datetime) -> None:
        if self._noted is None or self._noted[0] != program:
            self._noted = (program, now)
        since = local_time(self._noted[1])
        text = f"{program} has kept it locked since about {since}: clips and labels wait for it"
        self._note("database in use", text)


def wait_while_locked(watch: LockWatch, stop: Stop) -> None:
    """Wait until no other program has locked the database, with a notice meanwhile.

    Any other trouble is left to the steps of the start.

    Raises:
        StoppedError: the daemon was told to stop.
    """
    with suppress(DatabaseError):
        while not watch.tend(now()):
            if stop.asked:
                raise StoppedError


def note_trouble(lock: Lock, error: DatabaseError) -> None:
    """Show in `vidwatch status` why the database cannot be used."""
    lock.note("database", f"cannot be used now, and is tried again ({reason_of(error)})")


def note_unless_locked(lock: Lock, error: DatabaseError) -> None:
    """As `note_trouble`; a locked database is only logged: a `LockWatch` shows who has it."""
    if is_locked(error):
        log.warning("the database cannot be used now: %s", reason_of(error))
    else:
        note_trouble(lock, error)


def unless_locked(change: Callable[[], object]) -> None:
    """Make a change of state that the next round, or the next start, can make as well."""
    try:
        change()
    except OperationalError as error:
        log.warning("the database cannot be used now: %s", reason_of(error))


def as_job(job: Callable[[datetime], object]) -> Callable[[], None]:
    """A job of the schedule, which gets the time.

    That the database is locked, or its server away, is no failure of the job: that is shown by a
    `LockWatch`, and by the daemon's rounds. What is left
    because the daemon stops is done after the next start.
    """

    def run() -> None:
        try:
            job(now())
        except StoppedError as error:
            raise NotNowError from error
        except OperationalError as error:
            if not (is_locked(error) or is_away(error) or is_read_only(error)):
                raise
            log.warning("the database cannot be used now: %s", reason_of(error))
            raise NotNowError from error

    return run

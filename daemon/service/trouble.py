"""What the daemon does while its database is locked, or cannot be written for another reason."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DatabaseError, OperationalError

from daemon.classify.filing import StoppedError
from daemon.database.connection import is_locked, is_passing
from daemon.home.folder import Lock
from daemon.service.stopping import Stop
from learner.errors import PassingError

log = logging.getLogger(__name__)
T = TypeVar("T")

PAUSE = 2  # seconds


def patiently(begin: Callable[[], T], stop: Stop, lock: Lock) -> T:
    """A step of the start, tried again while the database is locked or its disk is full.

    Other trouble (it cannot be opened, or written) may pass, too, but nobody knows when: a later
    start tries that.

    Raises:
        PassingError: the database cannot be used for another reason.
        StoppedError: the daemon was told to stop.
    """
    while not stop.asked:
        try:
            result = begin()
        except OperationalError as error:
            if not is_passing(error):
                raise PassingError(f"the database cannot be used: {error.orig}") from error
            note_trouble(lock, error)
            time.sleep(0 if is_locked(error) else PAUSE)
        else:
            lock.note("database", None)
            return result
    raise StoppedError


def note_trouble(lock: Lock, error: DatabaseError) -> None:
    """Show in `vidwatch status` why the database cannot be used."""
    lock.note("database", f"cannot be used now, and is tried again ({error.orig})")


def unless_locked(change: Callable[[], object]) -> None:
    """Make a change of state that the next round, or the next start, can make as well."""
    try:
        change()
    except OperationalError as error:
        log.warning("the database cannot be used now: %s", error.orig)

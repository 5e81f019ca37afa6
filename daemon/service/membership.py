"""A daemon among others that share its database on a server. With a SQLite file there are none."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from importlib.metadata import version

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, func

from daemon.database.daemons import SHARED_LEASE, Member, announce, leave, members
from daemon.database.queue import Queue
from daemon.database.root import mark_of
from daemon.database.session import Session
from daemon.database.upgrade import head
from daemon.home.address import Server, who_else_reads
from daemon.home.answering import Answers
from daemon.home.clock import follow, now
from daemon.home.folder import Home, Lock
from daemon.home.machine import machine_name
from daemon.home.mark import require_mark
from daemon.home.stages import outcomes
from daemon.service.leading import Leading
from daemon.service.stopping import Stop
from daemon.service.trouble import patiently
from learner.errors import VidwatchError
from learner.texts import counted

log = logging.getLogger(__name__)

COUNTED = 5  # renewals: over these the clips a minute are counted
LOOK = 1.0  # seconds between two looks at the home's mark


class Membership:
    """Gives signs of life, keeps the claims, and notices what the others changed."""

    def __init__(self, home: Home, lock: Lock, queue: Queue) -> None:
        """Nothing is written yet.

        Args:
            home: The home.
            lock: Has the notices.
            queue: Its claims are renewed.
        """
        self.stood_still = threading.Event()
        """Set when the claims were not renewed in time: others may have them by now."""
        self.outdated: str | None = None
        """Why this program may not go on; None if it may."""
        self._home = home
        self._lock = lock
        self._queue = queue
        self._machine = machine_name()
        self._mark = mark_of(queue.engine) or ""
        self._model: Callable[[], tuple[str, str]] | None = None
        self._leading: Leading | None = None
        self._schema = head()
        self._since = now()
        self._renewed_at: datetime | None = None
        self._counted: deque[tuple[float, int]] = deque(maxlen=COUNTED)
        self._answers = Answers()
        self._looked_at = float("-inf")
        self._is_mounted = True
        self._looking = threading.Lock()

    def works(self, model: Callable[[], tuple[str, str]], leading: Leading) -> None:
        """The daemon works from now on; until then it is shown as one that starts.

        Args:
            model: Gives the name of the model that it predicts with, and the device.
            leading: Says whether it leads.
        """
        self._model = model
        self._leading = leading
        self._renewed_at = None  # nothing was claimed yet: the start may take as long as it likes

    def is_mounted(self) -> bool:
        """Whether the home lies where it should on this machine; shows it if not."""
        with self._looking:
            if time.monotonic() < self._looked_at + LOOK:
                return self._is_mounted
            why = None
            root = self._home.root
            try:
                self._answers.of(os.fsencode(root), partial(require_mark, root, self._mark))
            except VidwatchError as error:
                why = str(error)
            except TimeoutError:
                why = f"the home {root} does not answer: its share is away"
            self._is_mounted = why is None
            self._looked_at = time.monotonic()
            self._lock.note("home", why and f"{why}; no clip is claimed meanwhile")
            return self._is_mounted

    def tend(self, _: datetime) -> None:
        """Give a sign of life, follow the server's clock, and renew the claims.

        Only who renewed its own claims lately puts those of others back: after a time without the
        server, all would seem overdue.
        """
        writer = self._queue.engine.execution_options(writes="shared")
        with writer.begin() as connection:
            follow(connection.scalar(func.clock_timestamp()))
            at = now()
            schema = MigrationContext.configure(connection).get_current_revision()
            if schema != self._schema:
                hint = "upgrade vidwatch on this machine"
                self.outdated = f"a newer vidwatch upgraded the database (schema {schema}): {hint}"
                return
            announce(connection, self._member(at))
        self._queue.renew_leases(at)
        before = self._renewed_at
        self._renewed_at = at
        if before and at - before > SHARED_LEASE:
            self.stood_still.set()
        elif before and (n := self._queue.put_back_overdue(at)):
            log.info(
                "queued again, since their daemon gave no sign of life: %s", counted(n, "clip")
            )

    def leave(self) -> None:
        """The daemon ends: it is not shown any more."""
        leave(self._queue.engine, self._machine)

    def _member(self, at: datetime) -> Member:
        model, device = self._model() if self._model else (None, None)
        done = sum(outcomes().values())
        self._counted.append((time.monotonic(), done))
        began, before = self._counted[0]
        minutes = (time.monotonic() - began) / 60
        return Member(
            machine=self._machine,
            pid=os.getpid(),
            version=version("vidwatch"),
            model=model,
            device=device,
            since=self._since,
            seen_at=at,
            clips=done,
            clips_a_minute=round((done - before) / minutes, 1) if minutes > 0.01 else 0.0,
            leads=self._leading is not None and self._leading.led is not None,
            notices=dict(self._lock.running.notices),
        )


def notices_of_all(engine: Engine, lock: Lock) -> Mapping[str, str]:
    """What all daemons show to people, by subject; of others with the machine's name before it."""
    notices = dict(lock.running.notices)
    with engine.begin() as connection:
        for one in members(connection):
            if one.is_alive(now()) and one.machine != machine_name():
                notices |= {f"{one.machine}: {key}": text for key, text in one.notices.items()}
    return notices


def joined(home: Home, stop: Stop, lock: Lock, stack: ExitStack) -> Session | None:
    """The session of a daemon whose database is on a server; None if it is a file.

    Raises:
        PassingError: another daemon has the name of this machine.
        StoppedError: the daemon was told to stop.
    """
    if not isinstance(home.database, Server):
        return None
    file = home.database.password_file
    if file and (problem := who_else_reads(file)):
        log.warning("database_password_file: %s", problem)
    session = Session(home.database, machine_name())
    stack.callback(session.close)
    patiently(session.open, stop, lock)
    return session

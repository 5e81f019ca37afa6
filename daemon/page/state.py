"""The line of state above every page: whether all is well, in figures and a few words."""

import shutil
from dataclasses import dataclass

from sqlalchemy import Engine

from daemon.database.daemons import members
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.pause import read_pause
from daemon.home.settings import Settings
from daemon.report.counts import counts
from daemon.training.decisions import Decisions
from learner.catalogue import model_name


@dataclass(frozen=True)
class State:
    """What the line shows."""

    daemon: str
    """"running", "starting", "paused" or "not running"."""
    queued: int
    """How many videos wait to be classified, those in hand included."""
    failed: int
    """But for those that a person has forgotten."""
    forgotten: int
    model: str
    """The champion, or the model that the daemon begins with."""
    free: int | None
    """Bytes on the home's disk; None if it does not answer."""


def read_state(engine: Engine, home: Home, settings: Settings) -> State:
    """The state of a home.

    Raises:
        DatabaseError: the database cannot be read.
    """
    with engine.begin() as connection:
        found = counts(connection)
        is_server = isinstance(home.database, Server)
        others = members(connection) if is_server else []
    is_elsewhere = any(one.is_alive(now()) for one in others)
    return State(
        daemon=_daemon(home, is_elsewhere=is_elsewhere),
        queued=found["waiting"] + found["queued"] + found["in_hand"],
        failed=found["failed"],
        forgotten=found["forgotten"],
        model=model_name(Decisions(engine).champion() or settings.model),
        free=_free(home),
    )


def _daemon(home: Home, *, is_elsewhere: bool) -> str:
    running = home.running()
    if running is None and not is_elsewhere:
        return "not running"
    if read_pause(home.pause, now()):
        return "paused"
    return "starting" if running and running.is_starting else "running"


def _free(home: Home) -> int | None:
    try:
        return shutil.disk_usage(home.root).free
    except OSError:
        return None

"""What `vidwatch run` prints: in a terminal a line with the state of the work, else log lines.

The log goes into files of the home, too, unless it goes into systemd's journal.

In systemd's journal each log line has its level, and `systemctl status` shows the line with the
state. Only reads.
"""

import logging
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.text import Text

from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.logs import LogFile, note_unit, own_unit
from daemon.home.pause import read_pause
from daemon.home.texts import printable
from daemon.report.status import counts
from daemon.service.systemd import Notifier
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

INTERVAL = 0.5  # seconds
INTERVAL_OF_SYSTEMD = 10  # seconds

LINE = "%(levelname)s %(message)s"
SYSLOG = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}

Show = Callable[[Queue], None]


@contextmanager
def shown(home: Home) -> Iterator[Show]:
    """Set up the log, and give the function that updates the line with the state."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It warns of each job that it skips while the one before still waits for a locked database.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    with _printed(home) as show, _kept(home):
        yield show


@contextmanager
def _printed(home: Home) -> Iterator[Show]:
    if sys.stderr.isatty():
        with _live_line(home) as show:
            yield show
    else:
        yield _log_lines(home)


@contextmanager
def _kept(home: Home) -> Iterator[None]:
    """Keep the log, with the error that ends the daemon, where `vidwatch logs` finds it."""
    is_journal = not sys.stderr.isatty() and _is_journal()
    note_unit(home.logs, own_unit() if is_journal else None)
    if is_journal:
        yield
        return
    try:
        file = LogFile(home.logs)
    except OSError as error:
        log.warning("no log is kept in %s (%s)", home.logs, error.strerror)
        yield
        return
    logging.getLogger().addHandler(file)
    try:
        yield
    except Exception as error:
        if home.running() is None:  # else this is not the daemon, and the file is another one's
            known = isinstance(error, VidwatchError)
            trace = None if known else (type(error), error, error.__traceback__)
            text = "ended: %s"
            file.handle(log.makeRecord(log.name, logging.ERROR, "", 0, text, (error,), trace))
        raise


def _log_lines(home: Home) -> Show:
    """Set up the log for a file, a pipe or the journal."""
    handler = logging.StreamHandler()
    plain = logging.Formatter(f"%(asctime)s {LINE}")
    handler.setFormatter(JournalFormatter() if _is_journal() else plain)
    _set_up(handler)
    notifier = Notifier.from_environment()
    if not notifier.address:
        return lambda queue: None
    return _at_most_every(INTERVAL_OF_SYSTEMD, lambda count: notifier.status(_summary(home, count)))


@contextmanager
def _live_line(home: Home) -> Iterator[Show]:
    """Set up the log for a terminal, with one line below it that changes."""
    console = Console(stderr=True)
    handler = RichHandler(
        console=console, show_path=False, markup=False, log_time_format="%H:%M:%S", highlighter=None
    )
    handler.setFormatter(logging.Formatter("%(message)s"))
    _set_up(handler)
    loading = Text("loading the model")
    live = Live(loading, console=console, auto_refresh=False, transient=True)

    def show(count: dict[str, int]) -> None:
        with suppress(OSError):  # the terminal was closed
            live.update(_line(home, count), refresh=True)

    command = shlex.join(["vidwatch", "--home", str(home.root), "status"])
    for hint in (
        f"put videos into {home.inbox}",
        f"in another terminal, this shows their classes: {command}",
    ):
        console.print(Text(printable(hint), "dim"), soft_wrap=True)
    live.start(refresh=True)
    try:
        yield _at_most_every(INTERVAL, show)
    finally:
        with suppress(OSError):
            live.stop()


def _set_up(handler: logging.Handler) -> None:
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)


class JournalFormatter(logging.Formatter):
    """Begins each line with its level, as in sd-daemon(3), also each line of a traceback.

    It writes no time: the journal notes it.
    """

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        """The record as the journal expects it."""
        level = SYSLOG.get(record.levelno, 6)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).split("\n"))


def _is_journal() -> bool:
    """Whether stderr goes to the journal itself, and not into a file or a pipe."""
    info = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"


def _at_most_every(seconds: float, show: Callable[[dict[str, int]], None]) -> Show:
    """A function that counts the videos by state and shows that, but not more often than this."""
    shown_at = -seconds

    def refresh(queue: Queue) -> None:
        nonlocal shown_at
        if time.monotonic() < shown_at + seconds:
            return
        shown_at = time.monotonic()
        with queue.engine.begin() as connection:
            count = counts(connection)
        show(count)

    return refresh


def _line(home: Home, count: dict[str, int]) -> Text:
    style = "bold green" if count["in_hand"] else "green"
    state = f"{home.inbox}  {_summary(home, count)}"
    return Text.assemble(("● ", style), state, ("   Ctrl-C ends it", "dim"))


def _summary(home: Home, count: dict[str, int]) -> str:
    paused = "paused  " if read_pause(home.pause, now()) else ""
    waiting = f"{count['queued']} queued  {count['in_hand']} in hand"
    return f"{paused}{waiting}  {count['filed']} filed  {count['failed']} failed"

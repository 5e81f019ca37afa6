"""What `vidwatch run` shows: a line of what it does in a terminal, log lines elsewhere. Only reads.

In systemd's journal each line has its level, and `systemctl status` shows the line of what it does.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.text import Text

from daemon.database.queue import Queue
from daemon.home.folder import Home
from daemon.report.status import counts
from daemon.service.systemd import Notifier

INTERVAL = 0.5  # both in seconds
INTERVAL_OF_SYSTEMD = 10

LINE = "%(levelname)s %(message)s"
SYSLOG = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


@contextmanager
def shown(home: Home) -> Iterator[Callable[[Queue], None]]:
    """Set up the log, and give the function that brings the line up to date."""
    for library in ("alembic", "apscheduler"):
        logging.getLogger(library).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    if not sys.stderr.isatty():
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(
            JournalFormatter() if _is_journal() else logging.Formatter(f"%(asctime)s {LINE}")
        )
        logging.basicConfig(level=logging.INFO, handlers=[handler])
        notifier = Notifier.from_environment()
        show = _now_and_then(INTERVAL_OF_SYSTEMD, lambda count: notifier.status(_words(count)))
        yield show if notifier.address else lambda store: None
        return
    console = Console(stderr=True)
    handler = RichHandler(
        console=console, show_path=False, markup=False, log_time_format="%H:%M:%S", highlighter=None
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    with Live(
        Text("loading the model"), console=console, auto_refresh=False, transient=True
    ) as live:
        yield _now_and_then(INTERVAL, lambda count: live.update(_line(home, count), refresh=True))


class JournalFormatter(logging.Formatter):
    """Each line begins with its level, as sd-daemon(3) has it, those of a traceback too; the time the journal notes."""

    def __init__(self) -> None:
        super().__init__(LINE)

    def format(self, record: logging.LogRecord) -> str:
        """As the journal reads it."""
        level = SYSLOG.get(record.levelno, 6)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).split("\n"))


def _is_journal() -> bool:
    """Whether what is written to stderr goes to the journal itself, and not into a file or a pipe."""
    where = os.fstat(sys.stderr.fileno())
    return os.environ.get("JOURNAL_STREAM") == f"{where.st_dev}:{where.st_ino}"


def _now_and_then(
    seconds: float, show: Callable[[dict[str, int]], None]
) -> Callable[[Queue], None]:
    shown_at = -seconds

    def tell(store: Queue) -> None:
        nonlocal shown_at
        if time.monotonic() < shown_at + seconds:
            return
        shown_at = time.monotonic()
        with store.engine.begin() as read:
            count = counts(read)
        show(count)

    return tell


def _line(home: Home, count: dict[str, int]) -> Text:
    dot = ("● ", "bold green" if count["in_hand"] else "green")
    return Text.assemble(dot, f"{home.inbox}  {_words(count)}", ("   Ctrl-C ends it", "dim"))


def _words(count: dict[str, int]) -> str:
    return f"{count['queued']} queued  {count['in_hand']} in hand  {count['filed']} filed  {count['failed']} failed"

"""What `vidwatch run` shows: a line of what it does in a terminal, log lines elsewhere. Only reads."""

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

from daemon.home import Home
from daemon.status import counts
from daemon.store import Store

INTERVAL = 0.5


@contextmanager
def shown(home: Home) -> Iterator[Callable[[Store], None]]:
    """Set up the log, and give the function that brings the line up to date."""
    for library in ("alembic", "apscheduler"):
        logging.getLogger(library).setLevel(logging.WARNING)
    if not sys.stderr.isatty():
        time_of_day = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "  # the journal notes it itself
        logging.basicConfig(level=logging.INFO, format=f"{time_of_day}%(levelname)s %(message)s")
        yield lambda store: None
        return
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_path=False, markup=False, log_time_format="%H:%M:%S", highlighter=None)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    with Live(Text("loading the model"), console=console, auto_refresh=False, transient=True) as live:
        yield _Line(home, live)


class _Line:
    def __init__(self, home: Home, live: Live) -> None:
        self._home, self._live, self._next = home, live, 0.0

    def __call__(self, store: Store) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        with store.engine.begin() as read:
            count = counts(read)
        in_hand = count["claimed"] + count["classified"]
        line = Text.assemble(
            ("● ", "bold green" if in_hand else "green"),
            f"{self._home.inbox}",
            f"  {count['queued']} waiting  {in_hand} in hand  {count['filed']} filed  {count['failed']} failed",
            ("   Ctrl-C ends it", "dim"),
        )
        self._live.update(line, refresh=True)

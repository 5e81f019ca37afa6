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
        shown_at = 0.0

        def tell(store: Store) -> None:
            nonlocal shown_at
            if time.monotonic() < shown_at + INTERVAL:
                return
            shown_at = time.monotonic()
            with store.engine.begin() as read:
                live.update(_line(home, counts(read)), refresh=True)

        yield tell


def _line(home: Home, count: dict[str, int]) -> Text:
    return Text.assemble(
        ("● ", "bold green" if count["in_hand"] else "green"),
        f"{home.inbox}  {count['queued']} waiting  {count['in_hand']} in hand  {count['filed']} filed  ",
        f"{count['failed']} failed",
        ("   Ctrl-C ends it", "dim"),
    )

"""`vidwatch status`, told from its words alone: what reads all options takes longer than it does.

The command itself stands in `daemon/cli/app.py`, and calls `show` as well.
"""

import gc
import json
import os
from collections.abc import Sequence
from pathlib import Path

from daemon.cli.ending import console
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import PassingError

HOME = "~/vidwatch"


def home_of(words: Sequence[str]) -> Path | None:
    """The home of `[--home DIR] status [--json]`; None if the words are others."""
    home = os.environ.get("VIDWATCH_HOME") or HOME
    if len(words) > 1 and words[0] == "--home":
        home = words[1]
        words = words[2:]
    is_plain = list(words) in (["status"], ["status", "--json"])
    return Path(home) if is_plain and home and not home.startswith("-") else None


def show(home: Home, *, as_json: bool) -> None:
    """Print the status of a home once.

    Raises:
        VidwatchError: there is no home, or this user cannot read its database.
        PassingError: another program has locked it for reading, too; what is known is printed.
    """
    # The command ends before garbage matters. The search for it in all modules took 8 % of the
    # time.
    gc.disable()
    from daemon.report.status import read_status
    from daemon.report.tables import render, render_without_database

    if as_json:
        print(json.dumps(read_status(home, now()).to_json()))
        return
    try:
        found = read_status(home, now())
    except PassingError:
        console().print(render_without_database(home, now()))
        raise
    console().print(render(found, now()))

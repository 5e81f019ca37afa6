"""The daemons that share a database on a server, as lines of the status."""

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from daemon.database.daemons import Member
from daemon.home.texts import printable
from daemon.report.fitting import Facts
from learner.texts import counted


def add_daemons(grid: Facts, daemons: Sequence[Member], here: str, now: datetime) -> None:
    """Add a line for each daemon, and one for each of its notices.

    Args:
        grid: The lines of the status.
        daemons: The daemons.
        here: The name of this machine.
        now: The time.
    """
    if not any(one.is_at_work(now) for one in daemons):
        grid.add_row("daemons", Text("none is running", "bold red"))
    for one in daemons:
        grid.add_row("daemon", _line(one, here, now))
        if one.is_at_work(now):
            for subject, notice in one.notices.items():
                grid.add_row("", Text(printable(f"{subject}: {notice}"), "yellow"))


def _line(one: Member, here: str, now: datetime) -> Text:
    name = f"{one.machine} (this machine)" if one.machine == here else one.machine
    if not one.is_alive(now):
        silent = f" no sign of life for {_span(one, now)}"
        return Text.assemble((name, "bold red"), (silent, "red"))
    if not one.connected:
        ended = f" has ended, or has lost its server: last sign of life {_span(one, now)} ago"
        return Text.assemble((name, "bold red"), (ended, "red"))
    text = Text.assemble((name, "bold green" if one.model else "bold yellow"))
    if one.leads:
        text.append("  leads", "bold")
    if one.model is None:
        text.append("  starting", "yellow")
    else:
        text.append(f"  {one.clips_a_minute:g} clips/min  {printable(one.model)} on {one.device}")
    text.append(f"  seen {_span(one, now)} ago, vidwatch {one.version}, process {one.pid}", "dim")
    return text


def _span(one: Member, now: datetime) -> str:
    seconds = max(int((now - one.seen_at).total_seconds()), 0)
    if seconds < 120:
        return counted(seconds, "second")
    return counted(seconds // 60, "minute")

"""The commands about the running daemon: `pause`, `resume` and `logs`.

Slow imports stand in the commands that need them.
"""

import os
import shlex
import sys
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import examples
from daemon.home.clock import local_time, now
from daemon.home.folder import Home
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.home.logs import Unit

LINES = 100

app = typer.Typer()


@app.command(epilog=examples("vidwatch pause --for 2h", "vidwatch pause --until 20:00"))
def pause(
    context: typer.Context,
    length: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 30m or 2h.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="TIME", help='Until when, such as 20:00 or "2026-12-24 8:00".'
        ),
    ] = None,
) -> None:
    """Let the daemon begin no new clip and no training. What is in hand is finished.

    Files are noticed, queued and filed meanwhile. It may be given while no daemon runs.
    """
    from daemon.home.pause import Pause, write_pause
    from daemon.home.times import after, duration, next_time
    from daemon.labels.labels import current_user

    home: Home = context.obj
    home.require()
    if length and until:
        raise VidwatchError("pause: give --for or --until, not both")
    at = now()
    end = after(at, duration(length)) if length else None
    if until and (end := next_time(until, at)) <= at:
        raise VidwatchError(f"pause: {until!r} is over")
    asked = Pause(at, end, current_user())
    write_pause(home.pause, asked)
    print(f"paused {asked.in_words()}")


@app.command(epilog=examples("vidwatch resume"))
def resume(context: typer.Context) -> None:
    """End a pause: the daemon goes on."""
    from daemon.home.pause import end_pause, read_pause

    home: Home = context.obj
    home.require()
    was_paused = read_pause(home.pause, now()) is not None
    end_pause(home.pause)
    print("the pause has ended" if was_paused else "there was no pause")
    running = home.running()
    if running and running.closed_until:
        begin = local_time(running.closed_until)
        print(f"no new clip begins before the working hours do: {begin} (working_hours)")


@app.command(epilog=examples("vidwatch logs -n 20", "vidwatch logs --follow --since 2h"))
def logs(
    context: typer.Context,
    lines: Annotated[
        int | None, typer.Option("-n", "--lines", min=0, help="How many lines; 100 if not given.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show new lines as they come, until Ctrl-C.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="What was logged since 20:00, 2026-12-24, or 2h ago: 2h."
        ),
    ] = None,
) -> None:
    """Show the daemon's log: that of the service in the journal, else that in the home.

    The log of a training is in models/NAME.run/log.txt.
    """
    from daemon.home.logs import log_files, read_unit
    from daemon.report.log import last_lines, new_lines

    home: Home = context.obj
    home.require()
    begin = _time_or_ago(since) if since else None
    most = lines if lines is not None or since else LINES
    if unit := read_unit(home.logs):
        _show_journal(unit, most, begin, follow=follow)
    if not follow and not log_files(home.logs):
        raise VidwatchError(f"there is no log in {home.logs} yet; the daemon writes it")
    coming = new_lines(home.logs) if follow else ()
    try:
        for line in chain(last_lines(home.logs, most, begin), coming):
            print(line, end="", flush=follow)
    except KeyboardInterrupt:
        return
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise VidwatchError(f"the log in {home.logs} cannot be read ({error.strerror})") from error


def _show_journal(unit: "Unit", most: int | None, begin: datetime | None, *, follow: bool) -> None:
    """Become the command that shows the journal of a unit."""
    kind = "--user-unit" if unit.is_of_user else "--unit"
    command = ["journalctl", f"{kind}={unit.name}", "--no-pager", "--output=short-iso"]
    command += [] if most is None else [f"--lines={most}"]
    command += [f"--since=@{begin.timestamp():.0f}"] if begin else []
    command += ["--follow"] if follow else []
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        text = f"the log is in the journal, and journalctl cannot be run ({error.strerror})"
        raise VidwatchError(f"{text}: {shlex.join(command)}") from error


def _time_or_ago(text: str) -> datetime:
    from daemon.home.times import duration, moment_named

    at = now()
    try:
        if text.strip()[-1:].isalpha() and not {"-", ":"} & set(text):
            return at - min(duration(text), at - datetime.min.replace(tzinfo=UTC))
        return moment_named(text, at)
    except VidwatchError:
        forms = "20:00, 2026-12-24, '2026-12-24 08:00', or how long ago: 30m, 2h, 1h30m, 3d"
        raise VidwatchError(f"--since: {text!r} is no time; examples: {forms}") from None

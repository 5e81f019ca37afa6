"""The `vidwatch` command: reads arguments, makes one call, prints. What is heavy is imported where it runs."""

import gc
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli import labels, maintenance, models, training
from daemon.cli.shared import Json
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.identity import printable
from learner.errors import PassingError, VidwatchError

app = typer.Typer(
    help="Drop a video into a folder, read its class in a table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for family in (models, training, labels, maintenance):
    app.add_typer(family.app)


def main() -> None:
    """Run the command. What a person can mend is one line and exit status 2; anything else is a bug.

    What may pass by itself is exit status 75: a service starts again then.
    """
    try:
        app()
    except VidwatchError as error:
        print(f"vidwatch: {printable(str(error))}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(error, PassingError) else 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vidwatch {version('vidwatch')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="VIDWATCH_HOME", help="The home folder: inbox, database, models.")
    ] = Path("~/vidwatch"),
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Home.at(home)


@app.command()
def init(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where; the home folder if not given.")
    ] = None,
) -> None:
    """Make a home folder: inbox, database, settings. What is there already stays as it is."""
    home = Home.at(folder) if folder else context.obj
    _make(home)
    print(f"{home.root} is ready: put videos into {home.inbox}, and start the daemon with:")
    print(f"vidwatch --home {shlex.quote(str(home.root))} run")


@app.command()
def run(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Work off what is in the inbox, then end.")
    ] = False,
) -> None:
    """Watch the inbox and classify what comes in, until Ctrl-C or SIGTERM."""
    from daemon.service.stopping import Stop

    stop = Stop()
    stop.install()
    from daemon.home import settings
    from daemon.service import terminal as live

    home: Home = context.obj
    home.create()
    loaded = settings.load(home.settings)
    with live.shown(home) as show:
        from daemon.service import daemon as service

        service.run(home, loaded, stop, once=once, show=show)


@app.command()
def status(
    context: typer.Context,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
) -> None:
    """Show the daemon, the queue, the last answers and what failed."""
    if not watch:
        gc.disable()  # it ends before garbage matters: to look for some in all that is imported took 8 % of its time
    from rich.console import Console

    from daemon.report.status import read_status
    from daemon.report.tables import render

    if as_json and watch:
        raise VidwatchError("status: --json prints once; leave --watch out")
    if as_json:
        print(json.dumps(read_status(context.obj, now()).to_json()))
    elif not watch:
        Console().print(render(read_status(context.obj, now()), now()))
    else:
        from rich.live import Live

        with Live(screen=True, auto_refresh=False) as view, _until_interrupted():
            while True:
                view.update(render(read_status(context.obj, now()), now()), refresh=True)
                time.sleep(1)


def _make(home: Home) -> None:
    from daemon.database.upgrade import upgrade

    home.create()
    upgrade(home.database)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return

"""The `vidwatch` command: reads arguments, makes one call, prints.

Slow imports stand in the commands that need them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli import (
    backfill,
    classes,
    classify,
    clean,
    demo,
    ending,
    export,
    groups,
    importing,
    labels,
    maintenance,
    migrating,
    models,
    notify,
    plain_status,
    recipes,
    running,
    training,
    version,
    videos,
)
from daemon.cli.shared import Json, JsonResult, command_of, examples, tell, working
from daemon.home.address import Server
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import PassingError, VidwatchError
from learner.process import limit_cores

EXIT_STATUS = "\n\n".join(
    (
        "Exit status: 0 all is well; 1 something was found that is wrong, such as a file that "
        "classify cannot read; 2 you have to correct something, and one line says what; 75 the "
        "trouble may pass by itself; 130 ended by Ctrl-C.",
        "'vidwatch COMMAND --help' has examples; 'vidwatch demo' shows all of it in two minutes.",
    )
)

app = typer.Typer(
    help="Drop a video into a folder, read its class in a table.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for family in (
    demo,
    classify,
    videos,
    backfill,
    export,
    models,
    training,
    recipes,
    labels,
    importing,
    classes,
    groups,
    notify,
    maintenance,
    migrating,
    clean,
    running,
    version,
):
    app.add_typer(family.app)


def main() -> None:
    """Run the command."""
    ending.run(app)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"vidwatch {metadata.version('vidwatch')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="VIDWATCH_HOME", help="The home folder: inbox, database, models.")
    ] = Path(plain_status.HOME),
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    context.obj = Home.at(home)


@app.command(epilog=examples("vidwatch init", "vidwatch init /srv/clips"))
def init(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where; the home folder if not given.")
    ] = None,
    as_json: JsonResult = False,
) -> None:
    """Make a home folder: inbox, database, settings. What exists already stays as it is."""
    from daemon.database.connection import explaining
    from daemon.database.upgrade import upgrade

    home = Home.at(folder) if folder else context.obj
    _make(home)
    with explaining(home.database):
        upgrade(home.database, working)
    if isinstance(home.database, Server):
        from daemon.database.connection import opened
        from daemon.database.root import follow_home

        with opened(home.database) as engine:
            follow_home(engine, home.root)
    lines = (
        f"{home.root} is ready",
        "inbox/       put videos here",
        "classified/  they are filed here, in a folder for each class",
        "labelled/    move a clip into labelled/<class>/ to say what it is: models learn from it",
        f"start the daemon, with the settings of vidwatch.toml: {command_of(home, 'run')}",
    )
    facts = {"home": str(home.root), "inbox": str(home.inbox), "settings": str(home.settings)}
    tell(facts, lines, as_json=as_json)


def _make(home: Home) -> None:
    """Make what is missing of a home, but not in the place of a share that is not mounted.

    The server is asked only if nothing lies there: a daemon waits for one that is away.
    """
    if isinstance(home.database, Server) and not home.settings.is_file():
        from daemon.database.root import require_mounted
        from daemon.home.mark import read_mark

        if read_mark(home.root) is None:
            require_mounted(home.database)
    home.create()


@app.command(epilog=examples("vidwatch run", "vidwatch --home /srv/clips run --once"))
def run(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="Classify what is in the inbox, then end.")
    ] = False,
) -> None:
    """Watch the inbox and classify new videos, until Ctrl-C or SIGTERM."""
    from daemon.service.stopping import Stop

    stop = Stop()
    stop.install()
    from daemon.home import settings
    from daemon.service import terminal

    home: Home = context.obj
    _make(home)
    loaded = settings.load(home.settings)
    limit_cores(loaded.cores)  # before libraries begin threads, and count the cores
    with terminal.shown(home) as show:
        from daemon.service.daemon import run as run_daemon

        run_daemon(home, loaded, stop, once=once, show=show)
    stop.leave()


@app.command(epilog=examples("vidwatch status", "vidwatch status --json | jq .queued"))
def status(
    context: typer.Context,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
) -> None:
    """Show the daemon, the queue, the newest predictions and failures."""
    if as_json and watch:
        raise VidwatchError("status: --json prints once; leave --watch out")
    if watch:
        _watch_status(context.obj)
    else:
        plain_status.show(context.obj, as_json=as_json)


def _watch_status(home: Home) -> None:
    """Show the status on the whole screen, again every second."""
    from rich.console import Group, RenderableType
    from rich.live import Live
    from rich.text import Text

    from daemon.report.status import read_status
    from daemon.report.tables import render, render_without_database

    def shown() -> RenderableType:
        try:
            return render(read_status(home, now()), now())
        except PassingError as error:
            why = Text(printable(str(error)), "yellow")
            return Group(render_without_database(home, now()), why)

    with Live(screen=True, auto_refresh=False) as view, _until_interrupted():
        while True:
            view.update(shown(), refresh=True)
            time.sleep(1)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return

"""The `vidwatch` command: reads arguments, makes one call, prints. What is heavy is imported where it runs."""

import gc
import getpass
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

from daemon.cli import maintenance as cli_home
from daemon.cli import models as cli_models
from daemon.cli.models import Json, database
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
app.add_typer(cli_models.app)
app.add_typer(cli_home.app)


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
    with live.shown(home) as tell:
        from daemon.service import daemon as service

        service.run(home, loaded, stop, once=once, tell=tell)


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


@app.command()
def label(
    context: typer.Context,
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|ID… [CLASS]", help="Videos by id, path or name; the class comes last."
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Their answers are right; give no class.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take their last label back; give no class.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="A file with the columns file and label.")
    ] = None,
) -> None:
    """Say what class videos are of, so that the model can learn from them."""
    from daemon.home.folders import Folders
    from daemon.labels.labels import Labels, Said
    from daemon.labels.lookup import find_videos, import_csv, require_class

    words = videos or []
    if accept + undo + (csv is not None) > 1 or (csv and words):
        raise VidwatchError(
            "label: give one of --accept, --undo and --csv; with --csv, nothing else"
        )
    if not csv and len(words) < (1 if accept or undo else 2):
        raise VidwatchError(
            "label: give videos, and then the class; or --accept, --undo or --csv FILE"
        )
    home: Home = context.obj
    with database(home) as engine:
        said, who = Labels(engine, Folders(home.root)), getpass.getuser()
        if csv:
            given = import_csv(csv, engine)
            said.say(given, "csv", who, now())
        elif accept or undo:
            given = [Said(video, "withdrawn") for video in find_videos(words, Path(), engine)]
            change = said.accept if accept else said.undo
            change([one.video_id for one in given], "accepted" if accept else "command", who, now())
        else:
            require_class(words[-1], Path(), engine)
            given = [
                Said(video, "labelled", words[-1])
                for video in find_videos(words[:-1], Path(), engine)
            ]
            said.say(given, "command", who, now())
    moved = (
        ""
        if home.running()
        else "; the daemon is not running: it moves the files when you start it"
    )
    print(f"{len(given)} label{'s' * (len(given) != 1)} {'taken back' if undo else 'noted'}{moved}")


@app.command()
def labels(context: typer.Context, as_json: Json = False) -> None:
    """Show how many labels each class has, and which should be looked at again."""
    gc.disable()  # as for the status; of a million labels, all of which stay, it would look through all again and again
    from rich.console import Console

    from daemon.home import settings
    from daemon.home.folders import Folders
    from daemon.labels import quality as hygiene
    from daemon.report.labels import render
    from daemon.training.retraining import forecast

    home: Home = context.obj
    with database(home) as engine, engine.begin() as read:
        loaded = settings.load(home.settings)
        enough = loaded.min_class_clips
        found = hygiene.examine(read, Folders(home.root), home.models, enough)
        coming = forecast(engine, home, loaded)
    if as_json:
        print(json.dumps({**found.to_json(), "next_training": vars(coming)}))
    else:
        Console().print(render(found))
        print(
            f"{coming.new} of the {coming.needed} new labels (min_new_labels) that start the next training"
        )


@app.command()
def review(
    context: typer.Context,
    host: Annotated[
        str,
        typer.Option(
            help="The address to listen on; any other than this machine's own needs a token."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="VIDWATCH_REVIEW_TOKEN",
            help="What a browser must bring, in the link that is printed.",
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open it in the browser, too.")
    ] = False,
) -> None:
    """Serve a web page on which to review answers: accept or correct them. The daemon need not run."""
    from daemon.home import settings
    from daemon.review.server import serve

    home: Home = context.obj
    serve(home, settings.load(home.settings), host, port, token or None, open_browser=open_browser)


@app.command()
def retrain(context: typer.Context) -> None:
    """Ask the daemon to train a new model now, on the labels there are."""
    from daemon.home import settings
    from daemon.training.retraining import ask

    home: Home = context.obj
    with database(home) as engine:
        print(ask(engine, home, settings.load(home.settings), now()))
    if not home.running():
        print("the daemon is not running: it begins when you start it")


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

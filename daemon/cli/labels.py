"""The commands about labels: `label`, `labels`, `review`. What is heavy is imported where it runs."""

import gc
import json
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import Json, database
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import VidwatchError

app = typer.Typer()


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
    from daemon.labels.labels import Label, Labels, current_user
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
        said, who = Labels(engine, Folders(home.root)), current_user()
        if csv:
            given = import_csv(csv, engine)
            said.add(given, "csv", who, now())
        elif accept or undo:
            given = [Label(video, "withdrawn") for video in find_videos(words, Path(), engine)]
            change = said.accept if accept else said.undo
            change([one.video_id for one in given], "accepted" if accept else "command", who, now())
        else:
            require_class(words[-1], Path(), engine)
            given = [
                Label(video, "labelled", words[-1])
                for video in find_videos(words[:-1], Path(), engine)
            ]
            said.add(given, "command", who, now())
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

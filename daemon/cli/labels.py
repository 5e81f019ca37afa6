"""The commands about labels: `label`, `labels`, `review`.

Slow imports stand in the commands that need them.
"""

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli import completion
from daemon.cli.shared import (
    Json,
    JsonResult,
    console,
    database,
    examples,
    is_running,
    tell,
    without_file_in_words,
)
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import VidwatchError
from learner.texts import counted

app = typer.Typer()


@app.command(
    epilog=examples(
        "vidwatch label 17 18 Fox",
        "vidwatch label --accept 19",
        "vidwatch label 20 Fox --from 1:15 --to 2:30",
    )
)
def label(
    context: typer.Context,
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|ID… [CLASS]",
            autocompletion=completion.videos_or_classes,
            help="Videos by id, path or name; the class comes last.",
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Their predictions are right; give no class.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Take their newest labels back; give no class.")
    ] = False,
    csv: Annotated[
        Path | None, typer.Option(help="A file with the columns file and label.")
    ] = None,
    new_class: Annotated[
        bool,
        typer.Option("--new-class", help="A name that is nearly another class's is a new class."),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="Label a part alone: its begin, such as 1:15."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="The end of the part, such as 2:30.")
    ] = None,
    as_json: JsonResult = False,
) -> None:
    """Label videos with their class, so that the model can learn from them.

    With --from and --to, label a part of a long video. This moves no file.
    """
    from daemon.labels.classes import DidYouMeanError

    words = videos or []
    _require_arguments(words, accept=accept, undo=undo, csv=csv)
    is_of_part = _require_part(words, start, end, accept=accept, undo=undo, csv=csv)
    home: Home = context.obj
    try:
        if start and end and is_of_part:
            times = (start, end)
            video, text = _label_part(home, words, times, undo=undo, new_class=new_class)
            tell({"videos": [video], "undone": undo}, [text], as_json=as_json)
            return
        if csv:
            ids = _import(home, csv, new_class=new_class)
        elif accept or undo:
            ids = _accept_or_undo(home, words, undo=undo)
        else:
            ids = _label(home, words[:-1], words[-1], new_class=new_class)
    except DidYouMeanError as error:
        raise VidwatchError(f"{error} Give --new-class for a class of its own") from error
    done = "taken back" if undo else "noted"
    later = (
        "" if is_running(home) else "; the daemon is not running: it moves the files when it runs"
    )
    gone = _without_file(home, ids)
    lines = [f"{counted(len(ids), 'label')} {done}{later}", *without_file_in_words(gone)]
    tell({"videos": ids, "undone": undo, "without_file": gone}, lines, as_json=as_json)


def _without_file(home: Home, ids: Sequence[int]) -> list[str]:
    from daemon.labels.queries import without_file

    with database(home) as engine, engine.begin() as connection:
        return without_file(connection, ids)


def _require_arguments(words: Sequence[str], *, accept: bool, undo: bool, csv: Path | None) -> None:
    options = [accept, undo, csv is not None]
    if options.count(True) > 1 or (csv and words):
        choice = "give one of --accept, --undo and --csv"
        raise VidwatchError(f"label: {choice}; with --csv, nothing else")
    needed = 1 if accept or undo else 2
    if not csv and len(words) < needed:
        hint = "or --accept, --undo or --csv FILE"
        raise VidwatchError(f"label: give videos, and then the class; {hint}")


def _require_part(
    words: Sequence[str],
    start: str | None,
    end: str | None,
    *,
    accept: bool,
    undo: bool,
    csv: Path | None,
) -> bool:
    """Whether a part is to be labelled; checks that all that this needs is given."""
    if start is None and end is None:
        return False
    if not start or not end:
        raise VidwatchError("label: give both --from and --to, or neither")
    if accept or csv:
        raise VidwatchError("label: a part is given a class; leave --accept and --csv out")
    if len(words) != (1 if undo else 2):
        raise VidwatchError("label: with --from and --to, give one video, and its class")
    return True


def _label_part(
    home: Home, words: Sequence[str], times: tuple[str, str], *, undo: bool, new_class: bool
) -> tuple[int, str]:
    """Label a part of a video, or take its label back; gives the video, and what was done."""
    from daemon.labels.labels import Origin, current_user
    from daemon.labels.lookup import find_videos
    from daemon.labels.parts import Part, PartLabels, parse_time

    part = Part(*map(parse_time, times))
    origin = Origin("command", current_user(), now())
    with database(home) as engine:
        (video,) = find_videos(words[:1], Path(), engine)
        labels_of_parts = PartLabels(engine)
        if undo:
            done = labels_of_parts.undo(video, part, origin)
            return video, f"video {video}, {done.part}: label {done.class_name} taken back"
        done = labels_of_parts.add(video, part, words[1], origin, new_class=new_class)
        return video, f"video {video}, {done.part}: labelled {done.class_name}"


def _label(home: Home, words: Sequence[str], class_name: str, *, new_class: bool) -> list[int]:
    """Label these videos; gives their ids."""
    from daemon.home import settings
    from daemon.labels.labels import Label, Labels, current_user
    from daemon.labels.lookup import find_videos, require_class

    with database(home) as engine:
        require_class(class_name, Path(), engine)
        ids = find_videos(words, Path(), engine)
        new = [Label(video_id, "labelled", class_name) for video_id in ids]
        all_labels = Labels(engine, settings.load_folders(home.settings))
        all_labels.add(new, "command", current_user(), now(), new_class=new_class)
    return ids


def _accept_or_undo(home: Home, words: Sequence[str], *, undo: bool) -> list[int]:
    """Accept these videos' predictions, or take their newest labels back; gives their ids."""
    from daemon.home import settings
    from daemon.labels.labels import Labels, current_user
    from daemon.labels.lookup import find_videos

    with database(home) as engine:
        ids = find_videos(words, Path(), engine)
        all_labels = Labels(engine, settings.load_folders(home.settings))
        if undo:
            all_labels.undo(ids, "command", current_user(), now())
        else:
            all_labels.accept(ids, "accepted", current_user(), now())
    return ids


def _import(home: Home, csv: Path, *, new_class: bool) -> list[int]:
    """Add the labels of a table; gives the ids of its videos."""
    from daemon.home import settings
    from daemon.labels.labels import Labels, current_user
    from daemon.labels.lookup import import_csv

    with database(home) as engine:
        new = import_csv(csv, engine, new_class=new_class)
        all_labels = Labels(engine, settings.load_folders(home.settings))
        all_labels.add(new, "csv", current_user(), now(), new_class=new_class)
    return [label.video_id for label in new]


@app.command(epilog=examples("vidwatch labels"))
def labels(context: typer.Context, as_json: Json = False) -> None:
    """Show how many labels each class has, which you should check, and what to label next."""
    # As for the status. Of a million labels, all of which stay, each search for garbage would look
    # through all.
    gc.disable()
    from rich.text import Text

    from daemon.home import settings
    from daemon.home.folders import Folders
    from daemon.home.texts import printable
    from daemon.labels import quality
    from daemon.labels.enough import how_to_begin
    from daemon.labels.odd_names import odd_names
    from daemon.report import next_training
    from daemon.report.labels import render, render_suggestions
    from daemon.training.forecast import forecast

    home: Home = context.obj
    with database(home) as engine, engine.begin() as connection:
        loaded = settings.load(home.settings)
        least = loaded.min_class_clips
        found = quality.examine(connection, Folders(home.root), home.models, least)
        coming = forecast(engine, home, loaded)
        suggested = next_training.suggestions(connection, coming)
        names = odd_names(connection, home.root)
    if as_json:
        outlook = next_training.to_json(coming, suggested)
        print(json.dumps({**found.to_json(), "odd_names": names, "next_training": outlook}))
        return
    output = console()
    output.print(render(found, how_to_begin(home)))
    for problem in names:
        output.print(Text(printable(problem), "yellow"), soft_wrap=True)
    if suggested:
        output.print(render_suggestions(suggested))
    print(next_training.in_words(coming))


@app.command(epilog=examples("vidwatch still --most 50"))
def still(
    context: typer.Context,
    most: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List the videos without a label in which least moves: perhaps nothing is there."""
    from daemon.labels.still import still_videos
    from daemon.report.labels import render_still

    with database(context.obj) as engine, engine.begin() as connection:
        found = still_videos(connection, most)
    if as_json:
        print(json.dumps([video.to_json() for video in found]))
        return
    console().print(render_still(found))


@app.command(
    epilog=examples(
        "vidwatch review --open", "vidwatch review --host 0.0.0.0 --user ann --user ben"
    )
)
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
            help="What a browser must send; the link that is printed has it.",
        ),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A reviewer who gets a link of their own; may be repeated. Without such a link"
            " or a token, the page is closed then.",
        ),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
) -> None:
    """Serve a web page on which to accept or correct predictions, until Ctrl-C.

    It does not need a running daemon.
    """
    from daemon.home import settings
    from daemon.page.server import serve

    home: Home = context.obj
    loaded = settings.load(home.settings)
    serve(home, loaded, host, port, token or None, user or (), open_browser=open_browser)

"""The commands about videos, and what is in them: `add`, `show`, `find`, `events`.

Slow imports stand in the commands that need them.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import completion
from daemon.cli.shared import (
    Json,
    JsonResult,
    command_of,
    console,
    database,
    examples,
    is_running,
    tell,
)
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from collections import Counter

    from daemon.home.sources import OnFiled
    from daemon.report.one_video import VideoReport

app = typer.Typer()

SHOWN_KINDS = 5  # of files that are no videos


@app.command(epilog=examples("vidwatch show 17", "vidwatch show cam1/00.mp4 --json"))
def show(
    context: typer.Context,
    video: Annotated[
        str,
        typer.Argument(
            metavar="FILE|ID", autocompletion=completion.videos, help="By id, path or name."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show all that is known of one video, and what is in it, when."""
    from daemon.report.one_video_tables import render

    (report,) = _reports(context.obj, [video])
    if as_json:
        print(json.dumps(report.to_json()))
        return
    console().print(render(report))


@app.command(epilog=examples("vidwatch find Fox"))
def find(
    context: typer.Context,
    class_name: Annotated[
        str,
        typer.Argument(
            metavar="CLASS", autocompletion=completion.classes, help="The class to look for."
        ),
    ],
    as_json: Json = False,
) -> None:
    """List the videos in which a class was found, also beside others, and for how long."""
    from daemon.labels.classes import KnownClasses, did_you_mean
    from daemon.report.by_class import find_class
    from daemon.report.events import UNSURE
    from daemon.report.one_video_tables import render_found
    from learner.classes import likely_meant

    home: Home = context.obj
    with database(home) as engine, engine.begin() as connection:
        known = KnownClasses(connection)
        name = class_name if class_name == UNSURE else known.named(class_name)
        found = list(find_class(connection, name))
    if not found and (meant := likely_meant(name, known.existing)):
        raise VidwatchError(did_you_mean(name, meant))
    if as_json:
        print(json.dumps([video.to_json() for video in found]))
    elif found:
        console().print(render_found(name, found))
    else:
        print(f"no video with {printable(name)}; 'vidwatch classes' lists the classes")


@app.command(epilog=examples("vidwatch events > events.csv", "vidwatch events 17 --webvtt"))
def events(
    context: typer.Context,
    videos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|ID…]",
            autocompletion=completion.videos,
            help="By id, path or name; all if none is given.",
        ),
    ] = None,
    webvtt: Annotated[
        bool, typer.Option("--webvtt", help="Write a subtitle file beside each video instead.")
    ] = False,
) -> None:
    """Print what was found in long videos, and when, as CSV; or write it as subtitles (WebVTT)."""
    from daemon.report.event_files import write_csv

    home: Home = context.obj
    reports = _reports(home, videos)
    if webvtt:
        _write_subtitles(home, reports)
    elif without := write_csv(sys.stdout, reports):
        sys.stdout.flush()
        raise VidwatchError("; ".join(without))


def _reports(home: Home, words: Sequence[str] | None) -> "Iterator[VideoReport]":
    """What is known of these videos; of all that were cut into windows if `words` is None.

    One after the other: the windows of all of them may need much memory.
    """
    from daemon.labels.lookup import find_videos
    from daemon.report.timeline import with_windows

    with database(home) as engine:
        if words:
            return _each(home, find_videos(words, Path(), engine))
        with engine.begin() as connection:
            return _each(home, with_windows(connection))


def _each(home: Home, ids: Sequence[int]) -> "Iterator[VideoReport]":
    from daemon.report.one_video import read_video

    with database(home) as engine:
        for video in ids:
            with engine.begin() as connection:
                report = read_video(connection, video, home)
            yield report


def _write_subtitles(home: Home, reports: "Iterable[VideoReport]") -> None:
    from daemon.home.doors import Doors
    from daemon.home.subtitles import write_subtitles
    from daemon.report.event_files import mark_of, webvtt, why_no_events

    doors = Doors(os.fsencode(home.root))
    problems = []
    for report in reports:
        found = report.timeline.events
        if not found:
            problems.append(why_no_events(report))
            continue
        try:
            path = write_subtitles(doors, report.path, webvtt(found, report), mark_of(report))
        except (VidwatchError, OSError) as error:
            problems.append(f"{printable(report.name)}: no subtitles beside it ({error})")
            continue
        print(f"{printable(os.fsdecode(path))}: {counted(len(found), 'event')}")
    if problems:
        raise VidwatchError("; ".join(problems))


@app.command(
    epilog=examples("vidwatch add --in-place /mnt/archive", "vidwatch add day1.mp4 day2.mp4")
)
def add(
    context: typer.Context,
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATHS…", help="Files and folders outside of the home.")
    ],
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place", help="Only predict: copy no file into the home's class folders."
        ),
    ] = False,
    as_json: JsonResult = False,
) -> None:
    """Queue files and folders that stay as they are: they are classified after all others."""
    from daemon.cli.progress import reading
    from daemon.database.queue import Queue
    from daemon.home import settings
    from daemon.service.adding import Adding, archives

    home: Home = context.obj
    loaded = settings.load(home.settings)
    found = archives(paths, home.root, loaded)
    with database(home) as engine, reading("looking at files") as progress:
        on_filed: OnFiled = "leave" if in_place else "copy"
        adding = Adding(Queue(engine, "add"), home.root, loaded, on_filed, progress)
        for path, archive in zip(paths, found, strict=True):
            adding.add(path, archive)
    added = adding.added
    n_queued = added.n_new + added.n_again
    again = f", {added.n_again} of them that failed before" if added.n_again else ""
    known = f"; {added.n_known} were known" if added.n_known else ""
    lines = [f"{counted(n_queued, 'video')} queued{again}{known}", *left_alone(added.others)]
    if n_queued and not is_running(home):
        lines.append(f"no daemon is running that classifies them: {command_of(home, 'run')}")
    facts = {"queued": n_queued, "failed_before": added.n_again, "known": added.n_known}
    facts_of_rest = {"no_videos": added.others, "troubles": added.troubles}
    tell({**facts, **facts_of_rest}, lines, as_json=as_json)
    require_no_troubles(added.troubles)


def left_alone(others: "Counter[str]") -> list[str]:
    """A line about the files in archives that are no videos; none if all are."""
    if not others:
        return []
    kinds = [f"{n} {ending or 'without ending'}" for ending, n in others.most_common()]
    return [f"left alone, as they are no videos: {listed(kinds, SHOWN_KINDS)}"]


def require_no_troubles(troubles: "Sequence[str]") -> None:
    """Check that all could be looked at.

    Raises:
        VidwatchError: something could not.
    """
    if troubles:
        raise VidwatchError("; ".join(troubles))

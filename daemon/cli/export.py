"""The commands that give out what is known of many videos: `export`, `search`.

Slow imports stand in the commands that need them.
"""

import json
import signal
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import completion
from daemon.cli.shared import Json, console, database, examples
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.export.export import Outcome
    from daemon.export.filters import Filters

app = typer.Typer()

Classes = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        autocompletion=completion.classes,
        help="Of this label, or else prediction; may be given repeatedly.",
    ),
]
Since = Annotated[
    str | None, typer.Option("--from", help="Recorded then or later: 2026-01-31[T18:00].")
]
Until = Annotated[
    str | None, typer.Option("--to", help="Recorded by then; a day counts to its end.")
]
Sources = Annotated[
    list[str] | None,
    typer.Option("--source", help="From this folder of the inbox, or source; repeatedly."),
]
States = Annotated[
    list[str] | None, typer.Option("--state", help="In this state, such as failed; repeatedly.")
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", autocompletion=completion.models, help="Predicted by this model; repeatedly."
    ),
]


class Format(StrEnum):
    """The formats of exports."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"
    sqlite = "sqlite"
    camtrap = "camtrap"


class What(StrEnum):
    """The tables of CSV and Parquet."""

    videos = "videos"
    events = "events"
    windows = "windows"


@app.command(
    epilog=examples(
        "vidwatch export videos.csv", "vidwatch export foxes.csv --class Fox --from 2026-01-01"
    )
)
def export(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="Where to; a folder gets a new file. Standard output if not given.",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="By the file's ending if not given; else CSV."),
    ] = None,
    what: Annotated[
        What, typer.Option("--what", help="The table of a CSV or Parquet file.")
    ] = What.videos,
    name: Annotated[
        str | None, typer.Option("--name", help="A part of the name, or a pattern: 'cam1/*.mp4'.")
    ] = None,
    classes: Classes = None,
    since: Since = None,
    until: Until = None,
    sources: Sources = None,
    states: States = None,
    models: Models = None,
    since_last: Annotated[
        bool,
        typer.Option("--since-last", help="Only what is new or changed since it last went there."),
    ] = False,
    metadata: Annotated[
        Path | None,
        typer.Option("--metadata", help="For camtrap: a TOML file on project, places and species."),
    ] = None,
) -> None:
    """Export all videos with predictions, scores and labels, for spreadsheets and programs."""
    from daemon.cli.progress import reading
    from daemon.export.export import Request, format_of
    from daemon.export.export import export as export_videos

    signal.signal(signal.SIGTERM, _end)
    filters = _Given(name, classes, since, until, sources, states, models).filters()
    chosen = format_of(file, form)
    home: Home = context.obj
    request = Request(chosen, file, what, filters, since_last, metadata)
    with database(home) as engine, reading("exporting", beside_output=file is None) as progress:
        outcome = export_videos(home, engine, request, progress)
    _report(outcome, request.filters, file, since_last=since_last)


@app.command(
    epilog=examples(
        "vidwatch search --state failed", "vidwatch search 'cam1/*.mp4' --class Fox --most 50"
    )
)
def search(
    context: typer.Context,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="A part of the name, or a pattern: 'cam1/*.mp4'."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The same as TEXT, as `export` has it.")
    ] = None,
    classes: Classes = None,
    since: Since = None,
    until: Until = None,
    sources: Sources = None,
    states: States = None,
    models: Models = None,
    most: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """Find videos by name, class, date, source, state or model; the newest come first."""
    from daemon.export.search import render
    from daemon.export.search import search as search_videos

    if text and name:
        raise VidwatchError(f"search: {text!r} and --name {name!r} both say the name: give one")
    filters = _Given(text or name, classes, since, until, sources, states, models).filters()
    with database(context.obj) as engine, engine.begin() as connection:
        found = search_videos(connection, filters, most + 1)
    shown = found[:most]
    if as_json:
        print(json.dumps(shown))
    elif shown:
        console().print(render(shown))
    else:
        print(printable(_nothing(filters)))
    if len(found) > most:
        print(f"there are more: --most {10 * most} shows them", file=sys.stderr)


def _end(number: int, frame: object) -> None:
    """End as after Ctrl-C: what is not whole is removed."""
    sys.exit(128 + number)


def _nothing(filters: "Filters") -> str:
    words = filters.words()
    return f"no video matches {words}" if words else "there is no video yet"


@dataclass(frozen=True)
class _Given:
    """The filters as they were given."""

    name: str | None
    classes: list[str] | None
    since: str | None
    until: str | None
    sources: list[str] | None
    states: list[str] | None
    models: list[str] | None

    def filters(self) -> "Filters":
        """The filters.

        Raises:
            VidwatchError: a date is none, or none can be between both.
        """
        from daemon.export.filters import Filters, moment

        start = moment(self.since, is_end=False) if self.since else None
        end = moment(self.until, is_end=True) if self.until else None
        if start and end and start >= end:
            raise VidwatchError(f"--from {self.since} is not before --to {self.until}")
        given = (self.sources, self.states, self.models)
        sources, states, models = (tuple(values or ()) for values in given)
        return Filters(
            self.name or None, tuple(self.classes or ()), start, end, sources, states, models
        )


def _report(outcome: "Outcome", filters: "Filters", file: Path | None, *, since_last: bool) -> None:
    from learner.texts import counted

    if not outcome.videos:
        which = _nothing(filters)
        if since_last:
            words = f" ({filters.words()})" if filters.words() else ""
            which = f"nothing is new or changed since the last export to {file}{words}"
        print(printable(which), file=sys.stderr)
    if outcome.target is not None:
        of_videos = counted(outcome.videos, "video")
        rows = "" if outcome.rows == outcome.videos else f", {counted(outcome.rows, 'row')}"
        print(printable(f"{outcome.target}: {of_videos}{rows}{outcome.left_out}"))

"""The command `import`: labels that were given elsewhere.

Slow imports stand in the command.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import (
    JsonResult,
    database,
    examples,
    is_running,
    tell,
    without_file_in_words,
)
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon.home.sources import OnFiled
    from daemon.labels.importing.applying import Imported

app = typer.Typer()

SHOWN_ERRORS = 20
SHOWN = 5  # files that a line names


@app.command(
    "import",
    epilog=examples(
        "vidwatch import labels.csv --files ~/clips --dry-run", "vidwatch import ~/classes --copy"
    ),
)
def import_labels(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="Tables, split files, folders of class folders."),
    ],
    files: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the files are; beside the table if not given."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column of the classes, if it has another name."),
    ] = None,
    copy: Annotated[
        bool,
        typer.Option("--copy", help="Copy new files into labelled/; else they are left in place."),
    ] = False,
    new_class: Annotated[
        bool,
        typer.Option("--new-class", help="A name that is nearly another class's is a new class."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be imported.")
    ] = False,
    as_json: JsonResult = False,
) -> None:
    """Import labels with their files, all or none: CSV, UCF101 lists, class folders, Camtrap DP."""
    from daemon.cli.progress import reading
    from daemon.home import settings
    from daemon.labels.importing.formats import read_tables
    from daemon.labels.importing.importing import Import, WrongLinesError
    from daemon.labels.labels import current_user

    home: Home = context.obj
    loaded = settings.load(home.settings)
    tables = read_tables(paths, files, column, loaded.ignore)
    on_filed: OnFiled = "copy" if copy else "leave"
    try:
        with database(home) as engine, reading("looking at files") as progress:
            one = Import(engine, home.root, loaded, on_filed, progress)
            imported = one.add(tables, current_user(), now(), new_class=new_class, dry_run=dry_run)
    except WrongLinesError as error:
        for line in error.lines[:SHOWN_ERRORS]:
            print(line, file=sys.stderr)
        if (more := len(error.lines) - SHOWN_ERRORS) > 0:
            print(f"and {counted(more, 'error')} more", file=sys.stderr)
        hint = "; give --new-class if a class is meant that is nearly another one"
        raise VidwatchError(f"import: {error}{hint if error.meant else ''}") from error
    has_changed = not dry_run and (imported.n_videos or imported.n_labels)
    waits = bool(has_changed) and not is_running(home)
    kinds = list(dict.fromkeys(table.kind for table in tables))
    facts = {"kinds": kinds, "dry_run": dry_run, **vars(imported)}
    tell(facts, _in_words(imported, kinds, dry_run=dry_run, waits=waits), as_json=as_json)


def _in_words(
    imported: "Imported", kinds: list[str], *, dry_run: bool, waits: bool
) -> "Iterator[str]":
    would = "would be " if dry_run else ""
    labels = f"{counted(imported.n_labels, 'label')} {would}noted"
    queued = f"{counted(imported.n_videos, 'video')} {would}queued"
    known = f"; {imported.n_known} were known" if imported.n_known else ""
    later = f"; {_later(imported)}" if waits else ""
    yield f"{', '.join(kinds)}: {labels}, {queued}{known}{later}"
    yield from without_file_in_words(imported.without_file)
    if imported.kept:
        yield f"{_kept(len(imported.kept))}: {listed(imported.kept, SHOWN)}"
    if imported.unread:
        what = counted(len(imported.unread), "file")
        yield f"{what} could not be read, and got no label: {listed(imported.unread, SHOWN)}"
    if imported.several:
        what = counted(len(imported.several), "file")
        yield f"{what} with several classes got no label: {listed(imported.several, SHOWN)}"
    for reason, names in sorted(imported.skipped.items(), key=lambda pair: -len(pair[1])):
        yield f"left out: {len(names)} {reason}: {listed(names, SHOWN)}"


def _later(imported: "Imported") -> str:
    """What the daemon, which is not running, has to do."""
    if not imported.n_videos:
        return "the daemon is not running: it moves the files when it runs"
    return "the daemon is not running: it classifies the videos when it runs"


def _kept(n: int) -> str:
    if n == 1:
        return "1 label that a person gave stays as it is"
    return f"{n} labels that people gave stay as they are"

"""The command `clean`: what the settings' tables `[[remove]]` let go, now.

Slow imports stand in the command.
"""

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.shared import Json, console, database, examples, is_running
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import PassingError, VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from daemon.database.trash import Trashed
    from daemon.home.settings import Settings
    from daemon.maintenance.cleaning import Going

SHOWN = 5  # files that a line names

app = typer.Typer()


@app.command(epilog=examples("vidwatch clean --dry-run"))
def clean(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would go, and why.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the files into the trash that the settings let go, and empty it.

    The daemon does the same every hour. Labelled videos never go.
    """
    from daemon.cli import progress
    from daemon.database.trash import KEPT
    from daemon.home import settings
    from daemon.maintenance.cleaning import Cleaning

    home: Home = context.obj
    loaded = settings.load(home.settings)
    with database(home) as engine:
        problems: list[str] = []

        def note(text: str | None) -> None:
            problems.extend([text] if text else [])

        cleaning = Cleaning(home, engine, loaded, note)
        at = now()
        with progress.working("looking for files that may go"):
            going = list(cleaning.plan(at))
            deleted = cleaning.to_delete(at)
            kept = cleaning.kept()
        wrong = cleaning.unknown_classes()
        if as_json:
            content = _to_json(going, deleted, is_done=not dry_run)
            print(json.dumps({**content, "kept": kept, "problem": wrong}))
        else:
            _print_plan(going, deleted, loaded, is_dry=dry_run)
            if kept:
                reasons = ", ".join(f"{n} {KEPT[why]}" for why, n in kept.most_common())
                print(f"stay in any case: {reasons}")
            if wrong:
                print(wrong)
        if not dry_run:
            _clean(home, engine, loaded, cleaning.put_in(going, at), is_quiet=as_json)
            cleaning.delete(at)
    if problems:
        raise VidwatchError("; ".join(problems))


def _clean(home: Home, engine: "Engine", loaded: "Settings", n: int, *, is_quiet: bool) -> None:
    """Move the files, or leave that to the daemon, if one runs."""
    from daemon.classify.filing import Filing
    from daemon.cli import progress
    from daemon.database.queue import Queue
    from daemon.database.session import alone

    if not n:
        return
    try:
        with alone(home), progress.working("moving files"):
            queue = Queue(engine, "clean")
            is_there = home.why_no_inbox() is None
            folders = loaded.folders(home.root)
            filing = Filing(queue, folders, lambda: is_there, lambda: None, drop_duplicates=False)
            while moves := queue.moves(now()):
                filing.file(moves, now())
    except PassingError:
        if not is_running(home):
            raise
        if not is_quiet:
            print("the daemon moves them now")


def _print_plan(
    going: "Sequence[Going]", deleted: "Sequence[Trashed]", loaded: "Settings", *, is_dry: bool
) -> None:
    from rich.filesize import decimal

    from daemon.report.fitting import Column, FittingTable

    would = "would be " if is_dry else ""
    if not loaded.remove:
        print("no file goes: vidwatch.toml has no table [[remove]]")
    elif not going:
        print("no file is to go into the trash")
    else:
        columns = (
            Column("class", "bold"),
            Column("files", justify="right"),
            Column("size", justify="right"),
            Column("filed first", justify="right"),
            Column("why", wraps=True),
        )
        table = FittingTable("Into the trash", columns, style="bold")
        groups: dict[tuple[str, str], list[Going]] = {}
        for one in going:
            groups.setdefault((one.video.class_name, one.why), []).append(one)
        for (name, why), files in groups.items():
            size = decimal(sum(one.video.size for one in files))
            first = f"{files[0].video.filed_at.astimezone():%Y-%m-%d}"
            table.add_row(name, str(len(files)), size, first, why)
        console().print(table)
        for (name, _), files in groups.items():
            names = listed([printable(one.video.name) for one in files], SHOWN)
            print(f"{name}: {names}")
        if not loaded.trash_days:
            print(f"{would}deleted from the trash at once, for good: trash_days is 0")
    if deleted:
        size = decimal(sum(video.identity.size for video in deleted))
        why = f"in the trash for more than {counted(loaded.trash_days, 'day')}"
        print(f"{would}deleted for good, {why}: {counted(len(deleted), 'file')}, {size}")


def _to_json(
    going: "Sequence[Going]", deleted: "Sequence[Trashed]", *, is_done: bool
) -> dict[str, Any]:
    return {
        "done": is_done,
        "to_trash": [
            {
                "id": one.video.id,
                "path": printable(os.fsdecode(one.video.path)),
                "class": one.video.class_name,
                "bytes": one.video.size,
                "filed_at": one.video.filed_at.isoformat(),
                "why": one.why,
            }
            for one in going
        ],
        "deleted": [
            {
                "id": video.id,
                "path": printable(os.fsdecode(video.path)),
                "bytes": video.identity.size,
                "trashed_at": video.trashed_at.isoformat(),
            }
            for video in deleted
        ],
    }

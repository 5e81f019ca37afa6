"""The commands that keep a home well: `backup`, `restore`, `check`, `doctor`.

Slow imports stand in the commands that need them.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import Json, JsonResult, examples, tell
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemon.maintenance.check import Check
    from daemon.maintenance.finding import Finding
    from daemon.maintenance.restore import Restored

NAMED = 10  # videos that a message names

app = typer.Typer()


@app.command(epilog=examples("vidwatch backup", "vidwatch backup --to /mnt/nas/backups/"))
def backup(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="DIR|FILE.db",
            help="A folder, or a new file with an ending; the home's folder backups/ if not given.",
        ),
    ] = None,
    as_json: JsonResult = False,
) -> None:
    """Copy the database, also while the daemon runs.

    Clips, models and settings are files: copy them as files.
    """
    from daemon.cli import progress
    from daemon.maintenance.backup import back_up

    home: Home = context.obj
    home.require()
    target = Path(to) if to else home.backups
    # A Path loses the slash. A name without an ending is that of a folder, too.
    is_folder = to is not None and (to.endswith("/") or not target.suffix)
    with progress.working("copying and checking the database"):
        made = back_up(home.database, target, now(), is_folder=is_folder)
    tell({"backup": str(made)}, [f"backup {made} made and checked"], as_json=as_json)


@app.command(
    epilog=examples("vidwatch restore", "vidwatch restore backups/vidwatch-20260131T235959Z.db")
)
def restore(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A backup; the newest that is whole if not given.")
    ] = None,
    new: Annotated[
        bool,
        typer.Option("--new", help="Begin with an empty database: all clips are classified again."),
    ] = False,
    as_json: JsonResult = False,
) -> None:
    """Restore the database from a backup.

    Files that were filed after the backup go back to the inbox, and are classified again.
    """
    if new and file:
        raise VidwatchError("restore: give a backup, or --new, not both")
    from daemon.cli import progress
    from daemon.maintenance.restore import restore as restore_database

    home: Home = context.obj
    if not home.inbox.is_dir():
        hint = f"make it with: vidwatch init {home.root}"
        raise VidwatchError(f"{home.root} is not a vidwatch home; {hint}")
    backup_file = file.absolute() if file else None
    with progress.reading() as bar:
        restored = restore_database(home, backup_file, now(), bar, new=new)
    places = {"source": _text(restored.source), "kept": _text(restored.kept)}
    tell({**vars(restored), **places}, _restored_in_words(restored), as_json=as_json)


def _text(place: object) -> str | None:
    return None if place is None else str(place)


@app.command(epilog=examples("vidwatch check --quick", "vidwatch check --repair"))
def check(
    context: typer.Context,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Repair what can be repaired; the daemon must be stopped."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no clips, no weights and no backups.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the files with the database. Exit status 1 if something is wrong."""
    from daemon.cli import progress
    from daemon.database.session import alone
    from daemon.maintenance.check import Check

    home: Home = context.obj
    wrong = 0
    listed = []
    with alone(home) if repair else nullcontext(), progress.reading() as bar:
        home_check = Check(home, quick=quick, may_repair=repair, progress=bar)
        for finding in home_check.findings():
            repaired = False
            if repair and finding.apply_repair:
                finding.apply_repair()
                repaired = True
            if not repaired and not finding.harmless:
                wrong += 1
            if as_json:
                listed.append({**finding.to_json(), "mended": repaired})
            else:
                print(_line(finding, repaired=repaired))
    if as_json:
        files = {"files_taken_away": home_check.gone, "files_replaced": home_check.replaced}
        print(json.dumps({"findings": listed, **files}))
    else:
        _print_result(home_check, wrong)
    if wrong:
        raise typer.Exit(1)


@app.command(epilog=examples("vidwatch doctor"))
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Show whether this machine and home are fit for the daemon.

    Exit status 1 if there is a problem.
    """
    from daemon.maintenance.doctor import examine

    lines = []
    for line in examine(context.obj):
        lines.append(line)
        if not as_json:
            print(f"{line.state:<8} {line.subject:<12} {printable(line.text)}", flush=True)
    if as_json:
        print(json.dumps([line.to_json() for line in lines]))
    if any(line.state == "problem" for line in lines):
        raise typer.Exit(1)


def _line(finding: "Finding", *, repaired: bool) -> str:
    text = f"{finding.where}: {finding.problem}"
    if finding.repair:
        text += f" - done: {finding.repair}" if repaired else f" (--repair: {finding.repair})"
    return printable(text)


def _print_result(done: "Check", wrong: int) -> None:
    files = "the files of these filed videos"
    reason = "since people took them away or removed them"
    for text, names in (
        (f"{files} are not here any more, {reason}", done.gone),
        (f"{files} were replaced: other videos' files have their paths", done.replaced),
    ):
        if names:
            hint = " (--json names all)" if len(names) > NAMED else ""
            print(printable(f"{text}: {listed(names, NAMED)}{hint}"))
    if wrong == 0:
        print("all is well")
    elif wrong == 1:
        print("1 thing is wrong")
    else:
        print(f"{wrong} things are wrong")


def _restored_in_words(done: "Restored") -> "Iterator[str]":
    database = done.source or "a new database"
    content = f"{counted(done.videos, 'video')}, {counted(done.labels, 'label')}"
    yield f"{database} is in place: {content}"
    if done.kept:
        yield f"the old database is kept as {done.kept}"
    if done.champion:
        yield f"model {done.champion} is the champion"
    if done.put_back:
        reason = "because it does not list them; they are classified again"
        yield f"went back to the inbox, {reason}: {counted(done.put_back, 'file')}"
    if done.returned:
        yield f"will be moved back to where it lists them: {counted(done.returned, 'file')}"
    if done.noted:
        yield f"noted again, from the class folders in labelled/: {counted(done.noted, 'label')}"
    if done.lost is None:
        given = "labels given after the backup, by command or on the page"
        yield f"{given}, are lost if their clips are not in labelled/"
    elif done.lost:
        yield f"lost, because only the old database has them: {counted(done.lost, 'label')}"
    yield "start the daemon to go on: vidwatch run"

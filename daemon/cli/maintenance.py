"""The commands that look after a home: backups, and whether all is well. What is heavy is imported where it runs."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import Json
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.identity import printable
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.maintenance.finding import Finding
    from daemon.maintenance.restore import Restored

NAMED = 10

app = typer.Typer()


@app.command()
def backup(
    context: typer.Context,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="DIR|FILE", help="Where; the home's folder backups/ if not given."
        ),
    ] = None,
) -> None:
    """Copy the database, also while the daemon runs. Clips, models and settings are files: copy these as such."""
    from daemon.maintenance.backup import back_up

    home: Home = context.obj
    home.require()
    # A path loses the slash that says that a folder is meant.
    made = back_up(
        home.database,
        Path(to) if to else home.backups,
        now(),
        is_folder=bool(to and to.endswith("/")),
    )
    print(f"backup {made} made and checked")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="A backup; the newest that is whole if not given.")
    ] = None,
    new: Annotated[
        bool,
        typer.Option("--new", help="Begin with an empty database: all clips are answered anew."),
    ] = False,
) -> None:
    """Bring a backup of the database back; what was filed since goes to the inbox, to be answered anew."""
    if new and file:
        raise VidwatchError("restore: give a backup, or --new, not both")
    from daemon.maintenance.restore import restore as bring_back

    home: Home = context.obj
    if not home.inbox.is_dir():
        raise VidwatchError(
            f"{home.root} is not a vidwatch home; make it with: vidwatch init {home.root}"
        )
    _tell(bring_back(home, file.absolute() if file else None, now(), new=new))


@app.command()
def check(
    context: typer.Context,
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; no daemon may run.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read no clips, no weights and no backups.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare files with the database, and the database with files. Exit status 1 where something is wrong."""
    from daemon.cli import progress
    from daemon.maintenance.check import Check

    home: Home = context.obj
    left, found = 0, []
    with home.lock() if repair else nullcontext(), progress.reading() as bar:
        looking = Check(home, quick=quick, may_repair=repair, progress=bar)
        for finding in looking.findings():
            mended = repair and finding.apply_repair is not None
            if repair and finding.apply_repair:
                finding.apply_repair()
            left += not (mended or finding.harmless)
            if as_json:
                found.append({**finding.to_json(), "mended": mended})
            else:
                print(_line(finding, mended=mended))
    if as_json:
        print(json.dumps({"findings": found, "files_taken_away": looking.gone}))
    else:
        if looking.gone:
            print(_gone(looking.gone))
        print(
            f"{left} {'thing is' if left == 1 else 'things are'} wrong" if left else "all is well"
        )
    if left:
        raise typer.Exit(1)


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Say whether this machine and this home are fit for the daemon. Exit status 1 where there is a problem."""
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


def _line(finding: "Finding", *, mended: bool) -> str:
    said = f"{finding.where}: {finding.problem}"
    if finding.repair:
        said += f" - done: {finding.repair}" if mended else f" (--repair: {finding.repair})"
    return printable(said)


def _some(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _gone(videos: list[str]) -> str:
    named, others = ", ".join(videos[:NAMED]), len(videos) - NAMED
    more = f" and {others} more (--json names all)" if others > 0 else ""
    said = "the files of these filed videos are not here any more, since people took them away or removed them"
    return printable(f"{said}: {named}{more}")


def _tell(done: "Restored") -> None:
    what = f"{done.source} is in place" if done.source else "an empty database is in place"
    print(f"{what}: {_some(done.videos, 'video')}, {_some(done.labels, 'label')}")
    if done.kept:
        print(f"the database that was there is kept as {done.kept}")
    if done.champion:
        print(f"model {done.champion} answers")
    if done.put_back:
        print(
            f"{_some(done.put_back, 'file')} that it does not know went back to the inbox, to be answered anew"
        )
    if done.returned:
        print(f"on the way back to where it knows them: {_some(done.returned, 'file')}")
    if done.noted:
        print(
            f"noted again, by the folders in labelled/ in which clips lie: {_some(done.noted, 'label')}"
        )
    if done.lost is None:
        print(
            "labels given since by command or on the page are lost, if there were any of clips that lie elsewhere"
        )
    elif done.lost:
        print(f"in the database that was there alone, and lost here: {_some(done.lost, 'label')}")
    print("start the daemon to go on: vidwatch run")

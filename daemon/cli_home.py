"""The commands that look after a home: backups, and whether all is well. What is heavy is imported where it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.clock import now
from daemon.home import Home
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.restore import Restored

app = typer.Typer()


@app.command()
def backup(
    context: typer.Context,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR|FILE", help="Where; the home's folder backups/ if not given.")
    ] = None,
) -> None:
    """Copy the database, also while the daemon runs. Clips, models and settings are files: copy these as such."""
    from daemon.backup import back_up

    home: Home = context.obj
    home.require()
    print(f"backup {back_up(home.database, to or home.backups, now())} made and checked")


@app.command()
def restore(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="A backup; the newest that is whole if not given.")] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Begin with an empty database: all clips are answered anew.")
    ] = False,
) -> None:
    """Bring a backup of the database back; what was filed since goes to the inbox, to be answered anew."""
    if new and file:
        raise VidwatchError("restore: give a backup, or --new, not both")
    from daemon.restore import restore as bring_back

    home: Home = context.obj
    if not home.inbox.is_dir():
        raise VidwatchError(f"{home.root} is not a vidwatch home; make it with: vidwatch init {home.root}")
    _tell(bring_back(home, file.absolute() if file else None, now(), new=new))


def _tell(done: "Restored") -> None:
    what = f"{done.source} is in place" if done.source else "an empty database is in place"
    print(f"{what}: {done.videos} videos, {done.labels} labels")
    if done.kept:
        print(f"the database that was there is kept as {done.kept}")
    if done.champion:
        print(f"model {done.champion} answers")
    if done.put_back:
        print(f"{done.put_back} files that it does not know went back to the inbox, to be answered anew")
    if done.returned:
        print(f"{done.returned} files go back to where it knows them")
    if done.noted:
        print(f"{done.noted} labels were noted again, by the folders in labelled/ in which clips lie")
    print("labels that were given since by command or on the page, of clips that do not lie in labelled/, are lost")
    print("start the daemon to go on: vidwatch run")

"""The command that moves a home's database to a server, or back: `migrate-db`.

Slow imports stand in the command.
"""

import os
from typing import Annotated

import typer

from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.texts import counted

app = typer.Typer()


@app.command("migrate-db")
def migrate_db(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Argument(
            metavar="URL|sqlite",
            help="postgresql+psycopg://user@host/database, or sqlite: back to the home's file.",
        ),
    ],
) -> None:
    """Move the database to a PostgreSQL server, or back to a file. The daemon must be stopped.

    The copy is compared with the original before it is used. If this is ended, give it again.
    """
    from daemon.cli import progress
    from daemon.maintenance.migrate_database import migrate_database

    home: Home = context.obj
    home.require()
    with progress.reading("copying and comparing rows") as bar:
        done = migrate_database(home, to, now(), bar)
    print(printable(f"{counted(done.rows, 'row')} copied to {done.database}, and compared"))
    if done.is_set:
        print(printable(f"{home.settings} names it now; start the daemon to go on"))
    else:
        line = f'database = "{done.database}"' if to != "sqlite" else 'database = ""'
        print(printable(f"{home.settings} has to say {line}"))
        if "VIDWATCH_DATABASE" in os.environ:
            where = "wherever a daemon or a command is started"
            print(f"VIDWATCH_DATABASE counts more, and names the old one: change it {where}")
    if done.kept:
        print(printable(f"the old database is kept as {done.kept}"))

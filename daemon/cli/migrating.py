"""The command that moves a home's database to a server, or back: `migrate-db`.

Slow imports stand in the command.
"""

import os
from typing import Annotated

import typer

from daemon.cli.shared import JsonResult, examples, tell
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.texts import counted

app = typer.Typer()


@app.command(
    "migrate-db",
    epilog=examples(
        "vidwatch migrate-db postgresql+psycopg://vidwatch@server/vidwatch",
        "vidwatch migrate-db sqlite",
    ),
)
def migrate_db(
    context: typer.Context,
    to: Annotated[
        str,
        typer.Argument(
            metavar="URL|sqlite",
            help="postgresql+psycopg://user@host/database, or sqlite: back to the home's file.",
        ),
    ],
    as_json: JsonResult = False,
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
    lines = [f"{counted(done.rows, 'row')} copied to {done.database}, and compared"]
    if done.is_set:
        lines.append(f"{home.settings} names it now; start the daemon to go on")
    else:
        line = f'database = "{done.database}"' if to != "sqlite" else 'database = ""'
        lines.append(f"{home.settings} has to say {line}")
        if "VIDWATCH_DATABASE" in os.environ:
            where = "wherever a daemon or a command is started"
            lines.append(f"VIDWATCH_DATABASE counts more, and names the old one: change it {where}")
    if done.kept:
        lines.append(f"the old database is kept as {done.kept}")
    facts = {
        "database": str(done.database),
        "rows": done.rows,
        "kept": str(done.kept) if done.kept else None,
        "set": done.is_set,
    }
    tell(facts, lines, as_json=as_json)

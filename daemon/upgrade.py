"""Brings a database to this program's schema, after a copy of it where there is something to lose."""

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from daemon.store import connect, is_locked
from learner.errors import VidwatchError


def upgrade(path: Path, revision: str = "head") -> None:
    """Run the migrations that the database at `path` lacks; makes it where there is none.

    Raises:
        VidwatchError: a newer vidwatch wrote it, or it is no database.
        OperationalError: another program has locked it.
    """
    config = alembic_config()
    scripts = ScriptDirectory.from_config(config)
    engine = connect(path)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is not None:
            if current not in {script.revision for script in scripts.walk_revisions()}:
                raise VidwatchError(f"database {path}: a newer vidwatch wrote it (schema {current}); upgrade vidwatch")
            _copy(path, path.with_name(f"{path.name}.before-{current}"))
        with engine.execution_options(writes=True).begin() as connection:
            command.upgrade(alembic_config(connection), revision)
    except DatabaseError as error:
        if is_locked(error):
            raise
        raise VidwatchError(f"database {path}: {error.orig}") from error
    finally:
        engine.dispose()


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file: the migrations of this installation, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _copy(source: Path, target: Path) -> None:
    """A copy by SQLite's own backup, which is whole also while another process writes."""
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)

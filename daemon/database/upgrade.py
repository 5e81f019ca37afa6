"""Brings a database to this program's schema, after a copy of it where there is something to lose."""

import os
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import SAFE, connect, is_damage, is_passing
from daemon.database.copying import copy
from learner.errors import VidwatchError

RESTORING = ".restoring"  # what a database's name has until it is restored
_OURS = (
    "classified",
    "duplicates",
    "failed",
)  # only we put files there, and only a database says why


def upgrade(path: Path) -> None:
    """Run the migrations that the database at `path` lacks, after a copy; makes it where there never was one.

    Raises:
        VidwatchError: a newer vidwatch wrote it, it is no database, or it is gone from a home that had one.
        OperationalError: another program has locked it.
    """
    if not path.exists() or path.stat().st_size <= 1:  # to SQLite, one byte is as good as none
        require_never_had_one(path)
    current = revision_of(path)
    if current not in (None, head()):
        copy(path, path.with_name(f"{path.name}.before-{current}"))
    migrate(path)


def migrate(path: Path, revision: str = "head") -> None:
    """As `upgrade`, without a copy, and whatever the home holds."""
    if revision_of(path) == head():
        return
    engine = connect(path)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            command.upgrade(alembic_config(connection), revision)
    except DatabaseError as error:
        if is_passing(error):
            raise
        raise VidwatchError(f"database {path}: {error.orig}") from error
    finally:
        engine.dispose()


def revision_of(path: Path) -> str | None:
    """The schema that the database at `path` has; None where it is new.

    Raises:
        VidwatchError: it is one that this program does not know, or the file is no database.
        OperationalError: another program has locked it.
    """
    engine = connect(path)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        if is_passing(error):
            raise
        if is_damage(error.orig):
            raise VidwatchError(f"database {path} is damaged ({error.orig}): {SAFE}") from error
        raise VidwatchError(f"database {path}: {error.orig}") from error
    finally:
        engine.dispose()
    known = {
        script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()
    }
    if current is not None and current not in known:
        raise VidwatchError(
            f"database {path}: a newer vidwatch wrote it (schema {current}); upgrade vidwatch"
        )
    return current


def head() -> str | None:
    """The schema of this program."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def require_never_had_one(path: Path) -> None:
    """Check that a new database may be made at `path`: that nothing in its folder tells of one that is gone.

    With a new one, the files that we have put into class folders would count as labels that people gave.

    Raises:
        VidwatchError: one is gone.
    """
    traces = [f"there are files in {name}/" for name in _OURS if _holds_files(path.parent / name)]
    if any((path.parent / "backups").glob("vidwatch-*.db")):
        traces.append("there are backups of it")
    if path.with_name(path.name + RESTORING).exists():
        traces.append("a restore was ended before it was done")
    if traces:
        hint = "'vidwatch restore' brings the newest backup back, 'vidwatch restore --new' begins without one"
        raise VidwatchError(f"database {path} is gone, but {' and '.join(traces)}: {hint}")


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file: the migrations of this installation, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _holds_files(folder: Path) -> bool:
    return any(not name.startswith(".") for _, _, names in os.walk(folder) for name in names)

"""Brings a database to this program's schema. An older database is copied before."""

from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from daemon.database.connection import (
    connect,
    damaged,
    explained,
    is_damage,
    is_passing,
    opened,
)
from daemon.database.copying import copy
from daemon.database.daemons import require_none_older
from daemon.home.address import Database, Server
from daemon.home.clock import now
from daemon.home.folders import OUR_FOLDERS
from learner.errors import VidwatchError
from learner.folders import walk

RESTORING = ".restoring"  # ends the name of a database that is being restored
# Only the daemon puts files there. If there are any, there was a database.


def upgrade(path: Database) -> None:
    """Copy the database at `path`, and run the migrations that it lacks. A server is not copied.

    A home that never had a database gets a new one.

    Raises:
        VidwatchError: a newer vidwatch wrote it, it is no database, or it is missing in a home that
            had one.
        PassingError: it is on a server, and daemons of an older vidwatch work on it.
        OperationalError: another program has locked it.
    """
    if not is_begun(path):
        require_no_lost_database(path)
    current = revision_of(path)
    if isinstance(path, Path) and current not in (None, head()):
        copy(path, path.with_name(f"{path.name}.before-{current}"))
    if isinstance(path, Server) and current not in (None, head()):
        with opened(path, read_only=True) as engine:
            require_none_older(engine, now())
    migrate(path)


def is_begun(path: Database) -> bool:
    """Whether there is a database at `path`. To SQLite, a file of one byte is empty."""
    if isinstance(path, Server):
        return revision_of(path) is not None
    return path.exists() and path.stat().st_size > 1


def migrate(path: Database, revision: str = "head") -> None:
    """As `upgrade`, but without a copy, and without a look at the home."""
    if revision_of(path) == head():
        return
    engine = connect(path, migrates=True)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            command.upgrade(alembic_config(connection), revision)
    except DatabaseError as error:
        if is_passing(error):
            raise
        raise VidwatchError(f"database {path}: {error.orig}") from error
    finally:
        engine.dispose()


def revision_of(path: Database) -> str | None:
    """The schema of the database at `path`; None if the database is new.

    Raises:
        VidwatchError: this program does not know the schema, or the file is no database.
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
            raise damaged(path, str(error.orig)) from error
        raise explained(error, path) from error
    finally:
        engine.dispose()
    scripts = ScriptDirectory.from_config(alembic_config())
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        reason = f"a newer vidwatch wrote it (schema {current})"
        raise VidwatchError(f"database {path}: {reason}; upgrade vidwatch")
    return current


def head() -> str | None:
    """The newest schema that this program knows, which Alembic calls the head."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def require_no_lost_database(path: Database) -> None:
    """Check that a new database may be made at `path`: no traces of a lost one are in its folder.

    With a new database, the files that the daemon has put into class folders would count as labels
    that people gave.

    Raises:
        VidwatchError: there was a database.
    """
    root = path.root if isinstance(path, Server) else path.parent
    used = [name for name in OUR_FOLDERS if _holds_files(root / name)]
    traces = [f"there are files in {name}/" for name in used]
    if any((root / "backups").glob("vidwatch-*")):
        traces.append("there are backups of it")
    if isinstance(path, Path) and path.with_name(path.name + RESTORING).exists():
        traces.append("a restore was ended before it was done")
    if traces:
        restore = "'vidwatch restore' brings the newest backup back"
        anew = "'vidwatch restore --new' begins without one"
        raise VidwatchError(
            f"database {path} is gone, but {' and '.join(traces)}: {restore}, {anew}"
        )


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without an ini file.

    The migrations are those of this installation, and run on `connection`.
    """
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _holds_files(folder: Path) -> bool:
    return any(not name.startswith(b".") for _, _, names in walk(folder) for name in names)

"""Brings a database to this program's schema. An older database is copied before."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
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
    explaining,
    is_damage,
    is_passing,
    opened,
)
from daemon.database.copying import copy, ending_of
from daemon.database.daemons import require_none_older
from daemon.database.servers import require_no_restore, require_usable
from daemon.home.address import Database, Server, root_of
from daemon.home.clock import now
from daemon.home.folders import OUR_FOLDERS
from learner.errors import PassingError, VidwatchError
from learner.folders import walk

log = logging.getLogger(__name__)

RESTORING = ".restoring"  # ends the name of a database that is being restored
# Only the daemon puts files there. If there are any, there was a database.


Working = Callable[[str], AbstractContextManager[None]]
"""Shows what is being done, while it is."""


def upgrade(path: Database, working: Working = lambda what: nullcontext()) -> None:
    """Copy the database at `path`, and run the migrations that it lacks.

    A home that never had a database gets a new one.

    Args:
        path: Where it is.
        working: Entered if an older database is changed, which may take minutes.

    Raises:
        VidwatchError: a newer vidwatch wrote it, it is no database, or it is missing in a home that
            had one.
        PassingError: it is on a server, and daemons of an older vidwatch work on it.
        OperationalError: another program has locked it.
    """
    if isinstance(path, Server):
        _require_restored(path)
    if not is_begun(path):
        require_no_lost_database(path)
    current = revision_of(path)
    if isinstance(path, Server) and current not in (None, head()):
        with opened(path, read_only=True) as engine:
            require_none_older(engine, now())
    if current in (None, head()):
        migrate(path)
        return
    with working("bringing the database up to date, and copying it before"):
        _keep_copy(path, f"before-{current}")
        migrate(path)


def _require_restored(server: Server) -> None:
    engine = connect(server, read_only=True)
    try:
        with engine.begin() as connection:
            require_no_restore(connection, server)
    except DatabaseError as error:
        if is_passing(error):
            raise
        raise explained(error, server) from error
    finally:
        engine.dispose()


def _keep_copy(path: Database, name: str) -> None:
    """Copy a database before it is changed. A server's owner has backups, even without pg_dump."""
    if isinstance(path, Path):
        copy(path, path.with_name(f"{path.name}.{name}"))
        return
    target = path.root / f"vidwatch.{name}{ending_of(path)}"
    try:
        copy(path, target)
        log.info("before the upgrade, the database was copied to %s", target)
    except PassingError:
        raise
    except VidwatchError as error:
        log.warning("the database is upgraded without a copy made before: %s", error)


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


def require_current(path: Database) -> None:
    """Check, by reading alone, that the database at `path` has the schema of this program.

    Raises:
        VidwatchError: an older or a newer vidwatch wrote it, or it cannot be read.
        PassingError: another program has locked it, or its server is away.
    """
    with explaining(path):
        revision = revision_of(path, read_only=True)
    if revision != head():
        hint = f"bring it up to date with: vidwatch init {root_of(path)}"
        raise VidwatchError(f"database {path}: an older vidwatch wrote it; {hint}")


def revision_of(path: Database, *, read_only: bool = False) -> str | None:
    """The schema of the database at `path`; None if the database is new.

    Raises:
        VidwatchError: this program does not know the schema, or the file is no database.
        OperationalError: another program has locked it.
    """
    engine = connect(path, read_only=read_only)
    try:
        with engine.connect() as connection:
            if isinstance(path, Server):
                require_usable(connection, path)
            current = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        if is_passing(error):
            raise
        if is_damage(error.orig):
            raise damaged(path, str(error.orig)) from error
        raise explained(error, path) from error
    finally:
        engine.dispose()
    if current is not None:
        require_known(current, f"database {path}")
    return current


def require_known(revision: str, what: str) -> None:
    """Check that this program knows the schema of `what`.

    Raises:
        VidwatchError: a newer one wrote it.
    """
    if revision not in {script.revision for script in _scripts().walk_revisions()}:
        reason = f"a newer vidwatch wrote it (schema {revision})"
        raise VidwatchError(f"{what}: {reason}; upgrade vidwatch")


def head() -> str | None:
    """The newest schema that this program knows, which Alembic calls the head."""
    return _scripts().get_current_head()


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())  # reads all migrations when it is asked


def require_no_lost_database(path: Database) -> None:
    """Check that a new database may be made at `path`: no traces of a lost one are in its folder.

    With a new database, the files that the daemon has put into class folders would count as labels
    that people gave.

    Raises:
        VidwatchError: there was a database.
    """
    root = root_of(path)
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

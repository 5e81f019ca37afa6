"""Checks, before anything is written, that the database is whole and on a disk of this machine."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from daemon.database.connection import connect, damaged, is_damage
from daemon.home.address import Database, Server
from daemon.home.mounts import filesystem_of, is_network
from learner.errors import VidwatchError

SHOWN = 5  # lines
# Some whole machines lie on these: containers in a sandbox, small virtual machines. If they cannot
# share memory, SQLite itself reports it.
ROOTS = {"9p", "virtiofs"}


def require_whole(path: Database) -> None:
    """Check a database before it is used. A server checks its own files.

    A missing or empty file passes: it is no database yet.

    Raises:
        VidwatchError: it is damaged, or lies on a file system on which it would be damaged.
        OperationalError: it cannot be read now.
    """
    if isinstance(path, Server):
        return
    require_local(path.parent)
    if not path.exists() or not path.stat().st_size:
        return
    if problems := damage(path):
        raise damaged(path, "; ".join(problems))


def require_local(folder: Path) -> None:
    """Check that a database can lie in `folder`.

    In WAL mode, processes share memory through a file beside the database. On a file system of
    other machines, that memory is not shared.

    Raises:
        VidwatchError: it is on a file system of other machines.
    """
    kind = filesystem_of(folder)
    if is_network(kind) and kind not in ROOTS:
        trouble = f"home {folder} lies on a network file system ({kind})"
        danger = "on which the database would be damaged sooner or later"
        hint = "put the home on a disk of this machine"
        links = "the folders of clips in it may be links to the share"
        raise VidwatchError(f"{trouble}, {danger}; {hint}; {links}")


def damage(path: Path, *, thorough: bool = False) -> list[str]:
    """What is wrong with the database's file, in at most `SHOWN` lines.

    Rows that refer to missing rows are no damage of the file: `vidwatch check` finds them.

    Args:
        path: The database.
        thorough: Whether to compare the indexes with the tables, too.

    Raises:
        OperationalError: it cannot be read now.
    """
    check = "integrity_check" if thorough else "quick_check"
    engine = connect(path, read_only=True)
    try:
        with engine.connect() as connection:
            results = connection.exec_driver_sql(f"PRAGMA {check}({SHOWN})").scalars()
            lines = "\n".join(map(str, results)).splitlines()
    except DatabaseError as error:
        if is_damage(error.orig):
            return [str(error.orig)]
        raise
    finally:
        engine.dispose()
    return [line for line in lines if line != "ok" and not line.startswith("***")][:SHOWN]

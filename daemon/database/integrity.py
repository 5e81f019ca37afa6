"""Whether the database is whole, and lies where it can be: looked at before anything is written to it."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from daemon.database.connection import SAFE, connect, is_damage
from daemon.home.mounts import filesystem_of, is_network
from learner.errors import VidwatchError

SHOWN = 5
# What whole machines of a kind (containers in a sandbox, small virtual ones) lie on. Where these cannot share memory,
# SQLite itself says so.
ROOTS = {"9p", "virtiofs"}


def require_whole(path: Path) -> None:
    """Check the database at `path` before it is used; one that is missing, or empty, is none yet, and passes.

    Raises:
        VidwatchError: it is damaged, or lies on a file system on which it would be.
        OperationalError: it cannot be read now.
    """
    require_local(path.parent)
    if path.exists() and path.stat().st_size and (found := damage(path)):
        raise VidwatchError(f"database {path} is damaged ({'; '.join(found)}): {SAFE}")


def require_local(folder: Path) -> None:
    """Check that a database can lie in `folder`: in WAL mode, processes share memory through a file beside it.

    Raises:
        VidwatchError: it is on a file system of other machines, where that memory is not shared.
    """
    kind = filesystem_of(folder)
    if is_network(kind) and kind not in ROOTS:
        hint = "put the home on a disk of this machine; the folders of clips in it may be links to the share"
        where = f"home {folder} lies on a network file system ({kind})"
        raise VidwatchError(
            f"{where}, on which the database would be damaged sooner or later; {hint}"
        )


def damage(path: Path, *, thorough: bool = False) -> list[str]:
    """What is wrong with the database's file, a few lines at most; `thorough` compares indexes with tables, too.

    Rows that refer to others which are not there are no damage of the file: `vidwatch check` names them.

    Raises:
        OperationalError: it cannot be read now.
    """
    engine = connect(path, read_only=True)
    try:
        with engine.connect() as read:
            check = "integrity_check" if thorough else "quick_check"
            found = "\n".join(map(str, read.exec_driver_sql(f"PRAGMA {check}({SHOWN})").scalars()))
            return [
                line for line in found.splitlines() if line != "ok" and not line.startswith("***")
            ][:SHOWN]
    except DatabaseError as error:
        if is_damage(error.orig):
            return [str(error.orig)]
        raise
    finally:
        engine.dispose()

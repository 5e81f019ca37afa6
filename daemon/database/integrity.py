"""Checks, before anything is written, that the database is whole and on a disk of this machine."""

from pathlib import Path

from sqlalchemy import Connection, ForeignKeyConstraint, and_, not_, select
from sqlalchemy.exc import DatabaseError

from daemon.database import dumps
from daemon.database.connection import connect, damaged, is_damage
from daemon.database.tables import metadata
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
    """What is wrong with the file of a database, or of a copy of one; in at most `SHOWN` lines.

    Rows that refer to missing rows are no damage of the file: `vidwatch check` finds them.

    Args:
        path: The SQLite file, or the copy of a server's database.
        thorough: Whether to compare the indexes with the tables, too.

    Raises:
        OperationalError: it cannot be read now.
        VidwatchError: the program that reads the copy of a server's database is missing.
    """
    if path.suffix == dumps.ENDING:
        problem = dumps.problem_of(path)
        return [problem] if problem else []
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


def broken_references(connection: Connection, most: int) -> list[tuple[str, int, str]]:
    """Rows that refer to rows that do not exist: the table, the id, and the other table.

    At most so many are given. A server prevents them, unless an administrator told it not to.
    """
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(most)
        return [(table, row, other) for table, row, other, _ in rows]
    found: list[tuple[str, int, str]] = []
    for table in metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            found += _broken(connection, key, most - len(found))
    return found


def _broken(
    connection: Connection, key: ForeignKeyConstraint, most: int
) -> list[tuple[str, int, str]]:
    table = key.table
    other = key.referred_table.alias()
    pairs = [(part.parent, other.c[part.column.name]) for part in key.elements]
    is_there = select(other).where(and_(*(mine == theirs for mine, theirs in pairs))).exists()
    refers = and_(*(mine.is_not(None) for mine, _ in pairs))
    row = next(iter(table.primary_key.columns))
    query = select(row).where(refers, not_(is_there)).limit(most)
    return [(table.name, one, key.referred_table.name) for one in connection.scalars(query)]

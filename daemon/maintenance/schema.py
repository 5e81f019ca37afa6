"""Whether a database can be checked at all: it is whole, and of this version."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from daemon.database.connection import is_passing, opened
from daemon.database.integrity import damage
from daemon.home.address import Database
from daemon.maintenance.finding import Finding


def why_unusable(path: Database, *, quick: bool) -> Finding | None:
    """Why the database at `path` cannot be used; None if it can.

    With `quick`, not all of it is read. A server reads its own files, and reports damage itself.
    """
    if isinstance(path, Path) and (unusable := _why_unusable_file(path, quick=quick)):
        return unusable
    from daemon.database.upgrade import head

    schema = _schema(path)
    if schema != head():
        hint = "'vidwatch init' brings an older one up to date; for a newer one, upgrade vidwatch"
        problem = f"has the schema {schema} instead of {head()}; {hint}"
        return Finding("database", str(path), problem)
    return None


def _why_unusable_file(path: Path, *, quick: bool) -> Finding | None:
    hint = "'vidwatch restore' brings the newest backup back"
    if not path.stat().st_size:
        return Finding("database", str(path), f"is empty; {hint}")
    if problems := damage(path, thorough=not quick):
        return Finding("database", str(path), f"is damaged ({'; '.join(problems)}); {hint}")
    return None


def _schema(path: Database) -> str | None:
    """The schema of the database at `path`; None if it has none."""
    with opened(path, read_only=True) as engine:
        try:
            with engine.connect() as connection:
                query = "SELECT version_num FROM alembic_version"
                found: str | None = connection.exec_driver_sql(query).scalar()
                return found
        except DatabaseError as error:
            if is_passing(error):
                raise
            return None

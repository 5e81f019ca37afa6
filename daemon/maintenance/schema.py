"""Whether a database can be checked at all: it is whole, and of this version."""

from pathlib import Path

from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.integrity import damage
from daemon.maintenance.finding import Finding


def why_unusable(path: Path, *, quick: bool) -> Finding | None:
    """Why the database at `path` cannot be used; None if it can.

    With `quick`, not all of it is read.
    """
    hint = "'vidwatch restore' brings the newest backup back"
    if not path.stat().st_size:
        return Finding("database", str(path), f"is empty; {hint}")
    if problems := damage(path, thorough=not quick):
        return Finding("database", str(path), f"is damaged ({'; '.join(problems)}); {hint}")
    from daemon.database.upgrade import head

    schema = _schema(path)
    if schema != head():
        hint = "'vidwatch init' brings an older one up to date; for a newer one, upgrade vidwatch"
        problem = f"has the schema {schema} instead of {head()}; {hint}"
        return Finding("database", str(path), problem)
    return None


def _schema(path: Path) -> str | None:
    """The schema of the database at `path`; None if it has none."""
    with opened(path, read_only=True) as engine:
        try:
            with engine.connect() as connection:
                query = "SELECT version_num FROM alembic_version"
                found: str | None = connection.exec_driver_sql(query).scalar()
                return found
        except DatabaseError:
            return None

"""Searches that people keep by a name. Everybody who uses the page of the home sees them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from daemon.database.tables import searches
from learner.errors import VidwatchError

MOST = 100
LONGEST_NAME = 60  # characters


@dataclass(frozen=True)
class KeptSearch:
    """A search, and its name."""

    id: int
    name: str
    query: str
    """As `ClipsQuery.search`."""
    who: str


def kept_searches(connection: Connection) -> list[KeptSearch]:
    """All of them, by name."""
    rows = connection.execute(select(searches).order_by(searches.c.name))
    return [KeptSearch(row.id, row.name, row.query, row.who) for row in rows]


def keep(engine: Engine, name: str, query: str, who: str, at: datetime) -> str:
    """Keep a search; one that has the name already is replaced. Gives the name.

    Raises:
        VidwatchError: the name is empty or too long, or there are too many searches.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise VidwatchError(f"a search needs a name of {LONGEST_NAME} characters at most")
    if not query:
        raise VidwatchError("this search asks for nothing: set a filter first")
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(delete(searches).where(searches.c.name == name))
        if len(kept_searches(connection)) >= MOST:
            raise VidwatchError(f"there are {MOST} kept searches: remove one first")
        row = {"name": name, "query": query, "who": who, "created_at": at}
        connection.execute(insert(searches).values(**row))
    return name


def forget(engine: Engine, search: int) -> None:
    """Remove a search, if it is there."""
    with engine.execution_options(writes=True).begin() as connection:
        connection.execute(delete(searches).where(searches.c.id == search))

"""Copies the rows of one database into another, whichever kind each is, and compares the two.

Rows are read in the order of their keys, some thousands at a time: the copy of a part is one
transaction, so a copy that was ended goes on behind the last row that is there.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Engine, Table, delete, func, insert, select, update

from daemon.database.postgres import without_nul
from daemon.database.tables import daemons, home, metadata, videos
from learner.errors import VidwatchError

BATCH = 5000  # rows
TABLES = [table for table in metadata.sorted_tables if table not in (home, daemons)]
"""All that hold what a home knows. Each refers to rows of those before it, or to its own."""

Progress = Callable[[int, int | None], None]


class RowCopy:
    """A copy that is being made."""

    def __init__(self, old: Connection, new: Engine, progress: Progress) -> None:
        """Make it; nothing is copied yet.

        Args:
            old: To the database that is copied, in one transaction: the state of one instant.
            new: The database that is copied to. It has all tables.
            progress: Called with how many rows were copied or compared, and of how many.
        """
        self._old = old
        self._new = new.execution_options(writes=True)
        self._count = _Count(2 * rows_of_all(old), progress)

    def run(self) -> None:
        """Copy all rows that are not there yet, and compare the two databases.

        If the first part of a copy was made before, and the original has changed since, all is
        copied again.

        Raises:
            VidwatchError: the copy differs from the original.
        """
        n_begun = sum(self._copy(table) for table in TABLES)
        wrong = self._different()
        if wrong and n_begun:
            self._empty()
            self._count.done = 0
            for table in TABLES:
                self._copy(table)
            wrong = self._different()
        if wrong:
            tables = ", ".join(wrong)
            raise VidwatchError(f"the copy differs from the database in {tables}; it is not used")
        if self._new.dialect.name == "postgresql":
            self._follow_ids()

    def _copy(self, table: Table) -> bool:
        """Copy the rows of a table that are not there yet; gives whether some were there."""
        key = _key(table)
        with self._new.begin() as connection:
            last = connection.scalar(select(func.max(key)))
            self._count.add(connection.scalar(select(func.count()).select_from(table)) or 0)
        for rows in _batches(self._old, table, last):
            with self._new.begin() as connection:
                _write(connection, table, [_without_later(table, row) for row in rows])
            self._count.add(len(rows))
        if table is videos:
            self._refer_to_later()
        return last is not None

    def _refer_to_later(self) -> None:
        """Let the videos refer to later ones with the same content, now that those are there."""
        later = select(videos.c.id, videos.c.duplicate_of).where(
            videos.c.duplicate_of > videos.c.id
        )
        with self._new.begin() as connection:
            for row in self._old.execute(later):
                this = update(videos).where(videos.c.id == row.id)
                connection.execute(this.values(duplicate_of=row.duplicate_of))

    def _different(self) -> list[str]:
        """The names of the tables in which the two differ."""
        with self._new.begin() as connection:
            return [
                table.name
                for table in TABLES
                if digest(self._old, table, self._count.add) != digest(connection, table)
            ]

    def _empty(self) -> None:
        with self._new.begin() as connection:
            for table in reversed(TABLES):
                connection.execute(delete(table))

    def _follow_ids(self) -> None:
        """Let the server give ids behind those that were copied."""
        with self._new.begin() as connection:
            for table in TABLES:
                key = _key(table)
                if key.name == "id" and (last := connection.scalar(select(func.max(key)))):
                    sequence = func.pg_get_serial_sequence(table.name, key.name)
                    connection.execute(select(func.setval(sequence, last)))


class _Count:
    """How many rows were dealt with, for people."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.done = 0
        self._total = total
        self._progress = progress

    def add(self, rows: int) -> None:
        self.done += rows
        self._progress(self.done, self._total)


def rows_of_all(connection: Connection) -> int:
    """How many rows all tables have."""
    counts = [connection.scalar(select(func.count()).select_from(table)) for table in TABLES]
    return sum(count or 0 for count in counts)


def is_same(one: Connection, other: Connection, progress: Progress) -> bool:
    """Whether two databases have the same rows."""
    count = _Count(rows_of_all(one), progress)
    return all(digest(one, table, count.add) == digest(other, table) for table in TABLES)


def digest(
    connection: Connection, table: Table, add: Callable[[int], None] = lambda rows: None
) -> tuple[int, str]:
    """How many rows a table has, and the SHA-256 of them all, whichever kind the database is."""
    found = hashlib.sha256()
    n = 0
    for rows in _batches(connection, table, None):
        for row in rows:
            found.update(repr(tuple(row.values())).encode("utf-8", "surrogatepass"))
        n += len(rows)
        add(len(rows))
    return n, found.hexdigest()


def _batches(connection: Connection, table: Table, last: Any) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table behind the key `last`, in the order of their keys."""
    key = _key(table)
    while True:
        query = select(table).order_by(key).limit(BATCH)
        found = connection.execute(query if last is None else query.where(key > last))
        names = list(found.keys())
        rows = [_as_stored(names, row) for row in found]
        if not rows:
            return
        yield rows
        last = rows[-1][key.name]


def _as_stored(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """A row by the names of its columns, with its texts as a server takes them."""
    return {
        name: without_nul(value) if isinstance(value, str) else value
        for name, value in zip(names, row, strict=True)
    }


def _without_later(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The row, without a reference to a row that is copied after it."""
    if table is videos and row["duplicate_of"] is not None and row["duplicate_of"] > row["id"]:
        return {**row, "duplicate_of": None}
    return row


def _write(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows. A server takes them as one stream: some times faster than as statements."""
    if connection.dialect.name == "sqlite":
        connection.execute(insert(table), rows)
        return
    dialect = connection.dialect
    stored = [
        (column.name, column.type.dialect_impl(dialect).bind_processor(dialect))
        for column in table.columns
    ]
    names = ", ".join(f'"{name}"' for name, _ in stored)
    cursor = connection.connection.cursor()
    with cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as stream:
        for row in rows:
            stream.write_row([to(row[name]) if to else row[name] for name, to in stored])


def _key(table: Table) -> Column[Any]:
    """The primary key, which is one column."""
    (key,) = table.primary_key.columns
    return key

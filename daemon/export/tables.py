"""Writes tables as CSV, Parquet and SQLite. Knows neither videos nor the database."""

import codecs
import csv
import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from daemon.export.columns import Column, Kind, Value
from daemon.home.texts import FORMULAS, without_formula
from learner.errors import VidwatchError

if TYPE_CHECKING:
    import pyarrow

ROWS_OF_A_GROUP = 50_000  # of Parquet
MOST_COLUMNS = 1900  # SQLite takes 2000
SQLITE_TYPES: dict[Kind, str] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "number": "REAL",
    "boolean": "INTEGER",
    "time": "TEXT",
}

Rows = Sequence[Sequence[Value]]


class TableWriter(Protocol):
    """Writes the rows of one table. It is whole when the context has ended without an error."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...

    def write(self, rows: Rows) -> None:
        """Write rows of the table's columns."""


class CsvTable:
    """CSV as RFC 4180 has it, in UTF-8 with a mark of that (BOM): Excel needs the mark.

    Numbers may come as texts.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        file.write(codecs.BOM_UTF8)
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow([without_formula(column.name) for column in columns])
        texts = [at for at, each in enumerate(columns) if each.kind == "text" and not each.is_ours]
        self._texts = texts
        self._booleans = [at for at, each in enumerate(columns) if each.kind == "boolean"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._text.detach()

    def write(self, rows: Rows) -> None:
        """Write rows of the table's columns."""
        for row in rows:
            for at in self._texts:
                text = row[at]
                if text and (text[0] in FORMULAS or text[0] == "'"):  # type: ignore[index]
                    row[at] = without_formula(text)  # type: ignore[index,arg-type]
            for at in self._booleans:
                row[at] = "true" if row[at] else "false"  # type: ignore[index]
        self._writer.writerows(rows)


class ParquetTable:
    """Parquet, compressed with Zstandard; times are timestamps in UTC, to a second.

    Raises:
        VidwatchError: pyarrow is not installed.
    """

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as error:
            need = "Parquet needs pyarrow, which is not installed"
            raise VidwatchError(f"{need}: pip install 'vidwatch[export]'") from error
        self._arrow = pyarrow
        self._columns = columns
        types = _arrow_types()
        self._schema = pyarrow.schema([(each.name, types[each.kind]) for each in columns])
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Sequence[Value]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def write(self, rows: Rows) -> None:
        """Write rows of the table's columns."""
        self._rows.extend(rows)
        if len(self._rows) >= ROWS_OF_A_GROUP:
            self._flush()

    def _flush(self) -> None:
        values = zip(*self._rows, strict=True) if self._rows else ((),) * len(self._columns)
        arrays = [self._array(each, own) for each, own in zip(self._columns, values, strict=True)]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def _array(self, column: Column, values: Sequence[Value]) -> "pyarrow.Array":
        if column.kind == "time":
            return self._arrow.array(values, self._arrow.string()).cast(_arrow_types()["time"])
        return self._arrow.array(values, _arrow_types()[column.kind])


def _arrow_types() -> "dict[Kind, pyarrow.DataType]":
    import pyarrow

    return {
        "text": pyarrow.string(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "time": pyarrow.timestamp("s", "UTC"),
    }


class SqliteTables:
    """A SQLite file with several tables."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        # A file that is not whole is thrown away: it needs no journal.
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute("BEGIN")
        self._inserts: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with closing(self._connection):
            if error is None:
                self._connection.execute("COMMIT")

    def create(self, name: str, columns: Sequence[Column], key: str) -> None:
        """Make a table; `key` is what its rows are found by.

        Raises:
            VidwatchError: SQLite takes no table of so many columns.
        """
        if len(columns) > MOST_COLUMNS:
            n = f"{len(columns)} columns, with one for each class, are more than SQLite takes"
            raise VidwatchError(f"{n}: choose jsonl, csv or parquet, or the models with --model")
        defined = [f"{_quoted(each.name)} {SQLITE_TYPES[each.kind]}" for each in columns]
        defined.append(f"PRIMARY KEY ({key})")
        self._connection.execute(f"CREATE TABLE {name} ({', '.join(defined)})")
        signs = ", ".join("?" * len(columns))
        self._inserts[name] = f"INSERT INTO {name} VALUES ({signs})"

    def write(self, name: str, rows: Rows) -> None:
        """Write rows of a table."""
        self._connection.executemany(self._inserts[name], rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

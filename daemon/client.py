"""What a home holds, for Python programs and notebooks: records, or tables of pandas and polars.

Only reads: neither files nor rows change, and a daemon may work meanwhile.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack

from sqlalchemy import Connection

from daemon.database.connection import opened
from daemon.database.upgrade import require_current
from daemon.export.columns import VIDEOS, Column, ExportTable, Kind, with_scores
from daemon.export.filters import Filters, moment
from daemon.export.records import (
    LABELS,
    PREDICTIONS,
    RENAMED,
    read_all_labels,
    read_all_predictions,
    read_videos,
)
from daemon.export.records import Label as Label
from daemon.export.records import Prediction as Prediction
from daemon.export.records import Video as Video
from daemon.export.rows import Scores
from daemon.home import folder
from daemon.home.texts import shown_path
from learner.errors import VidwatchError as VidwatchError

if TYPE_CHECKING:
    import pandas
    import polars

AT_ONCE = 20_000  # records that a table is made of at a time: objects take much memory
PANDAS: dict[Kind, str] = {
    "text": "string",
    "integer": "Int64",
    "number": "float64",
    "boolean": "boolean",
    "time": "datetime64[us, UTC]",
}
"""The types of a table's columns in pandas."""

Frame = Callable[[Sequence[Column], Sequence[Sequence[Any]]], Any]
"""What makes a table of its columns and its rows."""
Record = TypeVar("Record")
When = datetime | date | str
"""A time, without a zone a local one; a text is as in `vidwatch search --from`."""
Names = str | Iterable[str]
"""One name, or any of several."""


class Asked(TypedDict, total=False):
    """Which videos are meant. All that is given has to fit; nothing given means all videos."""

    name: str | None
    """A part of the name with its source, or a pattern such as `cam1/*.mp4`."""
    class_name: Names | None
    """What the video counts as: its label, else its prediction."""
    since: When | None
    """Recorded then or later; arrived, if it is not known when it was recorded."""
    until: When | None
    """Recorded before that. A day counts to its end."""
    source: Names | None
    """A source, or a folder of the inbox, with the folders in it."""
    state: Names | None
    model: Names | None
    """The model whose prediction counts."""


@dataclass(frozen=True)
class Records(Generic[Record]):
    """Records of a home: iterate over them, or make a table of them.

    The database is read anew each time; all that is read then is the state of one instant.
    Iterating takes little memory, however many there are.
    """

    _home: folder.Home
    _filters: Filters
    _table: ExportTable
    _read: Callable[[Connection, Filters], Iterator[Record]]

    def __iter__(self) -> Iterator[Record]:
        """The records, in the order of their videos.

        Raises:
            VidwatchError: a filter names what does not exist, or the database cannot be read.
            PassingError: another program has locked it, or its server is away.
        """
        with self._snapshot() as connection:
            yield from self._read(connection, self._filters)

    def to_pandas(self) -> "pandas.DataFrame":
        """A row for each record. Columns are called as in `vidwatch export`.

        Raises:
            VidwatchError: pandas is not installed, or as for iterating.
        """
        try:
            import pandas
        except ImportError as error:
            raise _missing("pandas") from error

        def frame(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Any:
            series = {
                column.name: pandas.Series([row[at] for row in rows], dtype=PANDAS[column.kind])
                for at, column in enumerate(columns)
            }
            return pandas.DataFrame(series)

        return pandas.concat(self._frames(frame), ignore_index=True)

    def to_polars(self) -> "polars.DataFrame":
        """As `to_pandas`.

        Raises:
            VidwatchError: polars is not installed, or as for iterating.
        """
        try:
            import polars
        except ImportError as error:
            raise _missing("polars") from error
        types: dict[Kind, Any] = {
            "text": polars.String,
            "integer": polars.Int64,
            "number": polars.Float64,
            "boolean": polars.Boolean,
            "time": polars.Datetime("us", "UTC"),
        }

        def frame(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Any:
            schema = {column.name: types[column.kind] for column in columns}
            return polars.DataFrame(rows, schema=schema, orient="row")

        table: polars.DataFrame = polars.concat(self._frames(frame))
        return table

    def _frames(self, frame: Frame) -> list[Any]:
        """Tables of some rows each; an empty one if there are none: it has the columns."""
        with self._snapshot() as connection:
            classes: tuple[str, ...] = ()
            if self._table.has_scores:
                classes = Scores.read(connection, self._filters.models).classes
            columns = with_scores(self._table, classes)
            fields = [RENAMED.get(column.name, column.name) for column in self._table.columns]
            found = self._read(connection, self._filters)
            frames = []
            while records := list(islice(found, AT_ONCE)):
                frames.append(frame(columns, [_row(one, fields, classes) for one in records]))
        return frames or [frame(columns, ())]

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with opened(self._home.database, read_only=True) as engine, engine.begin() as connection:
            yield connection


class Home:
    """A home folder, to be read.

    Args:
        path: The folder. If it is not given, the one that the variable VIDWATCH_HOME names, else
            `~/vidwatch`: as for the command.

    Raises:
        VidwatchError: it is no home, or an older or a newer vidwatch wrote its database.
        PassingError: another program has locked the database, or its server is away.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._home = folder.Home.at(path or os.environ.get("VIDWATCH_HOME") or "~/vidwatch")
        self._home.require()
        require_current(self._home.database)

    def __repr__(self) -> str:
        return f"Home({str(self.root)!r})"

    @property
    def root(self) -> Path:
        """The folder, absolute and without links."""
        return self._home.root

    def videos(self, **asked: Unpack[Asked]) -> Records[Video]:
        """The files that arrived, with the prediction and the label that count."""
        return Records(self._home, _filters(asked), VIDEOS, read_videos)

    def predictions(self, **asked: Unpack[Asked]) -> Records[Prediction]:
        """The predictions of these videos, by all models; that which counts comes first.

        Of videos with the same content, there is one.
        """
        return Records(self._home, _filters(asked), PREDICTIONS, read_all_predictions)

    def labels(self, **asked: Unpack[Asked]) -> Records[Label]:
        """The labels of these videos, with those taken back; the newest of each comes first.

        Of videos with the same content, there is one.
        """
        return Records(self._home, _filters(asked), LABELS, read_all_labels)


def _filters(asked: Asked) -> Filters:
    """The filters of the export.

    Raises:
        VidwatchError: a time is none, or none can be between both.
    """
    start = _moment(asked.get("since"), "since", is_end=False)
    end = _moment(asked.get("until"), "until", is_end=True)
    if start and end and start >= end:
        raise VidwatchError(f"since={asked['since']!r} is not before until={asked['until']!r}")
    return Filters(
        name=asked.get("name"),
        classes=_names(asked.get("class_name")),
        start=start,
        end=end,
        sources=_names(asked.get("source")),
        states=_names(asked.get("state")),
        models=_names(asked.get("model")),
    )


def _names(given: Names | None) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


def _moment(given: When | None, asked: str, *, is_end: bool) -> datetime | None:
    if given is None or isinstance(given, datetime):
        return given.astimezone(UTC) if given else None
    text = given if isinstance(given, str) else given.isoformat()
    return moment(text, is_end=is_end, asked=asked)


def _row(record: object, fields: Sequence[str], classes: Sequence[str]) -> list[Any]:
    """The values of a record, and its score of each class."""
    values = [getattr(record, field) for field in fields]
    row = [shown_path(bytes(value)) if isinstance(value, Path) else value for value in values]
    if classes:
        scores = record.scores  # type: ignore[attr-defined]
        row += [scores.get(name) for name in classes]
    return row


def _missing(library: str) -> VidwatchError:
    return VidwatchError(f"{library} is not installed: pip install {library}")

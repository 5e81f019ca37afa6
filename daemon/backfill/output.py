"""Results as Parquet parts in a folder, and what is needed to go on there after a stop.

A database in the folder holds what is done, as that of a home does. What is finished goes into the
next part, as `vidwatch export` writes it: `videos-000001.parquet`, and `windows-000001.parquet` if
any of its videos was cut into windows. A video is in one part.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
)

from daemon.database.connection import connect, explaining
from daemon.database.tables import videos
from daemon.database.upgrade import migrate
from daemon.export.columns import VIDEOS, WINDOWS
from daemon.export.destination import new_file
from daemon.export.parts import window_rows
from daemon.export.query import videos_query
from daemon.export.rows import Scores, video_rows
from daemon.export.tables import ParquetTable
from learner.errors import VidwatchError

DATABASE = ".vidwatch-backfill.db"
ROWS = 10_000  # of a part
PAUSE = 10.0  # seconds between two looks whether there is enough for a part

_written = Table(
    "written",
    MetaData(),
    Column("video_id", Integer, primary_key=True),
    Column("part", Integer, nullable=False, index=True),
)
"""In which part each video is. A part gets its videos first, and is written then."""


@contextmanager
def opened_folder(folder: Path) -> Iterator[Engine]:
    """The database of a folder of parts; both are made if they are missing.

    Raises:
        VidwatchError: pyarrow is not installed, or the folder cannot be made or holds other things.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        need = "--out writes Parquet, which needs pyarrow"
        raise VidwatchError(f"{need}: pip install 'vidwatch[cluster]'") from error
    database = folder / DATABASE
    try:
        folder.mkdir(exist_ok=True)
        is_other = not database.exists() and any(folder.iterdir())
    except OSError as error:
        raise VidwatchError(f"--out {folder}: cannot be made ({error.strerror})") from error
    if is_other:
        raise VidwatchError(f"--out {folder} holds other things: name a new folder")
    with explaining(database):
        migrate(database)
        engine = connect(database)
        try:
            with engine.execution_options(writes=True).begin() as connection:
                _written.create(connection, checkfirst=True)
            yield engine
        finally:
            engine.dispose()


class ParquetParts:
    """Writes finished videos into parts."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        """Write the last part again if a stop came before it was there.

        Args:
            folder: Where the parts go.
            engine: Of the database there.
        """
        self._folder = folder
        self._engine = engine
        self._looked_at = float("-inf")
        with engine.begin() as connection:
            self._part = connection.scalar(select(func.max(_written.c.part))) or 0
        if self._part and not self._path("videos", self._part).exists():
            self._write(self._part)

    def write(self, *, is_last: bool) -> None:
        """Write the next part if there is enough for one, or if it is the last one.

        Raises:
            VidwatchError: it cannot be written.
            PassingError: it cannot be written now, as on a full disk.
        """
        if not is_last and time.monotonic() < self._looked_at + PAUSE:
            return
        self._looked_at = time.monotonic()
        while self._assign(1 if is_last else ROWS):
            self._write(self._part)

    def _assign(self, least: int) -> bool:
        """Give finished videos to the next part; False if there are fewer than that."""
        done = select(_written.c.video_id).where(_written.c.video_id == videos.c.id)
        waiting = select(videos.c.id).where(videos.c.finished_at.is_not(None), ~done.exists())
        with self._engine.begin() as connection:
            ids = list(connection.scalars(waiting.order_by(videos.c.id).limit(ROWS)))
        if len(ids) < least:
            return False
        rows = [{"video_id": video, "part": self._part + 1} for video in ids]
        with self._engine.execution_options(writes=True).begin() as connection:
            connection.execute(insert(_written), rows)
        self._part += 1
        return True

    def _path(self, table: str, part: int) -> Path:
        return self._folder / f"{table}-{part:06}.parquet"

    def _write(self, part: int) -> None:
        with self._engine.begin() as connection:
            self._write_windows(connection, part)  # first: the other one says that it is whole
            scores = Scores.read(connection)
            query = videos_query([_is_in(part)], with_parts=False).order_by(videos.c.id)
            with (
                new_file(self._path("videos", part)) as path,
                path.open("wb") as file,
                ParquetTable(file, scores.columns(VIDEOS)) as table,
            ):
                for rows in (
                    connection.execution_options(yield_per=1000).execute(query).partitions()
                ):
                    table.write(video_rows(rows, scores, as_text=False))

    def _write_windows(self, connection: Connection, part: int) -> None:
        query = videos_query([_is_in(part)], with_parts=True).order_by(videos.c.id)
        cut = [row for row in connection.execute(query) if row.is_cut and not row.duplicate_of]
        if not cut:
            return
        scores = Scores.read(connection)
        with (
            new_file(self._path("windows", part)) as path,
            path.open("wb") as file,
            ParquetTable(file, scores.columns(WINDOWS)) as table,
        ):
            for batch in window_rows(connection, cut, scores, as_text=False):
                table.write(batch)


def _is_in(part: int) -> ColumnElement[bool]:
    return videos.c.id.in_(select(_written.c.video_id).where(_written.c.part == part))

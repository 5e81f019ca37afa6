"""The table of videos as CSV, a piece after the other, for who reads it slowly. Only reads."""

from collections.abc import Iterator, Sequence
from io import BytesIO

from sqlalchemy import Engine

from daemon.database.tables import videos
from daemon.export.columns import VIDEOS
from daemon.export.filters import Filters
from daemon.export.query import videos_query
from daemon.export.rows import AT_ONCE, Found, Scores, video_rows
from daemon.export.tables import CsvTable


def csv_pieces(engine: Engine, filters: Filters) -> Iterator[bytes]:
    """The videos that filters match, in the order of their ids, with the scores of all classes.

    Each piece is read by a transaction of its own: one that lasts as long as a download would keep
    the database from tidying up. So a video may come as it was some seconds before another.

    Raises:
        VidwatchError: a filter names what does not exist. Before the first piece.
    """
    with engine.begin() as connection:
        filters.conditions(connection)
        scores = Scores.read(connection, filters.models)
    return _pieces(engine, filters, scores)


def _pieces(engine: Engine, filters: Filters, scores: Scores) -> Iterator[bytes]:
    piece = BytesIO()
    with CsvTable(piece, scores.columns(VIDEOS)) as table:
        last = 0
        while rows := _next(engine, filters, last):
            table.write(video_rows(rows, scores, as_text=True))
            last = rows[-1].id
            yield piece.getvalue()
            piece.seek(0)
            piece.truncate()
        yield piece.getvalue()


def _next(engine: Engine, filters: Filters, last: int) -> Sequence[Found]:
    """The first rows behind the video `last`."""
    with engine.begin() as connection:
        conditions = [*filters.conditions(connection), videos.c.id > last]
        query = videos_query(conditions, with_parts=False)
        return connection.execute(query.order_by(videos.c.id).limit(AT_ONCE)).all()

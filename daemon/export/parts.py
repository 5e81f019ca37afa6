"""The rows of the tables of events and of windows. Only reads."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.expressions import as_now, that_counts
from daemon.database.tables import predictions, windows
from daemon.export.columns import Value
from daemon.export.query import as_stored
from daemon.export.rows import AT_ONCE, Found, Scores
from daemon.home.texts import shown_path
from daemon.report.timeline import Timeline, read_timeline


def timeline_of(connection: Connection, found: Found) -> Timeline:
    """What is in a video, when; empty if it was not cut into windows.

    A duplicate has what its first video has.
    """
    return read_timeline(connection, found.content) if found.is_cut else Timeline()


def event_rows(connection: Connection, rows: Iterable[Found]) -> list[list[Value]]:
    """The rows of the table of events of these videos."""
    return [
        [
            found.id,
            shown_path(found.path),
            event.start,
            event.end,
            event.class_name,
            event.probability,
            event.is_labelled,
            None if event.is_labelled else found.model,
        ]
        for found in rows
        for event in timeline_of(connection, found).events
    ]


def window_rows(
    connection: Connection, rows: Iterable[Found], scores: Scores, *, as_text: bool
) -> Iterator[list[list[Value]]]:
    """The rows of the table of windows of these videos, in batches.

    A month of video has a million windows. `as_text` is as for `Scores.spread`.
    """
    for found in rows:
        if not found.is_cut:
            continue
        for batch in _windows(connection, found.content):
            yield [
                [
                    found.id,
                    shown_path(found.path),
                    row.number,
                    row.start_s,
                    row.end_s,
                    row.predicted,
                    row.probability,
                    row.doubt,
                    row.familiarity,
                    found.model,
                    *scores.spread(found.model_id, row.logits, as_text=as_text),
                ]
                for row in batch
            ]


def _windows(connection: Connection, content: int) -> Iterator[Sequence[Any]]:
    """The windows of a video by the model whose prediction counts, in order, in batches."""
    counts = select(predictions.c.model_id).where(predictions.c.video_id == content, that_counts())
    query = select(
        windows.c.number,
        windows.c.start_s,
        windows.c.end_s,
        as_now(windows.c["class"]).label("predicted"),
        windows.c.probability,
        windows.c.doubt,
        windows.c.familiarity,
        as_stored(windows.c.logits),
    )
    query = query.where(
        windows.c.video_id == content, windows.c.model_id == counts.scalar_subquery()
    )
    streamed = connection.execution_options(yield_per=AT_ONCE)
    return streamed.execute(query.order_by(windows.c.number)).partitions()

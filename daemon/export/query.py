"""The videos with the prediction and the label that count, as one query. Only reads."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from daemon.classify.missing import GONE
from daemon.database.expressions import as_now, content_of_video, that_counts
from daemon.database.tables import (
    home,
    labels,
    models,
    part_labels,
    predictions,
    videos,
    windows,
)
from daemon.labels.queries import newest_id
from daemon.report.by_class import main_class

CLASS = main_class(labels)
"""What a video counts as."""


NOT_THERE = ("deleted", "dropped", "replaced", "gone")
"""What the column `file` says of a file that does not lie at its path."""


def what_became_of_file() -> ColumnElement[str]:
    """The column `file`: what became of a video's file, as far as the database knows."""
    newer = videos.alias()
    lies_there = and_(newer.c.removed_at.is_(None), newer.c.dropped_at.is_(None))
    of_newer = and_(newer.c.path == videos.c.path, newer.c.id > videos.c.id, lies_there)
    # In SQLite, what is put together is no bytes any more.
    joined = type_coerce(home.c.root, LargeBinary).concat(literal(b"/trash/", LargeBinary))
    trash = cast(joined, LargeBinary)
    begin = func.substr(videos.c.path, 1, func.length(trash), type_=LargeBinary)
    in_trash = select(begin == trash).correlate(videos).scalar_subquery()
    is_trashed = and_(videos.c.trashed_at.is_not(None), in_trash)
    return case(
        (videos.c.dropped_at.is_not(None), "dropped"),
        (and_(is_trashed, videos.c.removed_at.is_not(None)), "deleted"),
        (select(newer.c.id).where(of_newer).exists(), "replaced"),
        (and_(videos.c.state == "failed", videos.c.error == GONE), "gone"),
        (is_trashed, "trash"),
        else_="there",
    )


def videos_query(conditions: Iterable[ColumnElement[bool]], *, with_parts: bool) -> Select[Any]:
    """Rows of videos, with the prediction and the label that count of their content.

    Times are as they are stored, in UTC; logits are JSON: to make objects of them takes longer
    than all the rest.

    Args:
        conditions: On the videos, their predictions, models and labels.
        with_parts: Whether to find out if the video was cut into windows (`is_cut`), and its newest
            label of a part (`part_label`). Both are NULL otherwise.
    """
    content = content_of_video()
    is_cut: ColumnElement[Any] = null()
    part_label: ColumnElement[Any] = null()
    if with_parts:
        is_cut = select(windows.c.id).where(windows.c.video_id == content).exists()
        own = select(func.max(part_labels.c.id)).where(part_labels.c.video_id == content)
        part_label = own.scalar_subquery()
    columns = (
        videos.c.id,
        content.label("content"),
        videos.c.name,
        videos.c.source,
        videos.c.path,
        videos.c.left_at,
        videos.c.state,
        CLASS.label("main"),
        as_stored(videos.c.recorded_at),
        videos.c.recorded_by,
        as_stored(videos.c.arrived_at),
        as_stored(videos.c.finished_at),
        videos.c.camera,
        videos.c.group,
        videos.c.size,
        videos.c.sha256,
        videos.c.duplicate_of,
        videos.c.error,
        as_now(predictions.c["class"]).label("predicted"),
        predictions.c.probability,
        predictions.c.doubt,
        predictions.c.familiarity,
        predictions.c.model_id,
        models.c.name.label("model"),
        as_stored(predictions.c.created_at).label("predicted_at"),
        predictions.c.read_share,
        videos.c.movement,
        as_stored(predictions.c.logits),
        labels.c.verdict,
        labels.c["class"].label("label"),
        labels.c.who,
        as_stored(labels.c.created_at).label("labelled_at"),
        labels.c.source.label("labelled_how"),
        labels.c.note,
        is_cut.label("is_cut"),
        part_label.label("part_label"),
        what_became_of_file().label("file"),
    )
    return with_answers(select(*columns)).where(*conditions)


def with_answers(query: Select[Any]) -> Select[Any]:
    """A query of videos, with the prediction and the label that count joined to each."""
    content = content_of_video()
    return (
        query.select_from(videos)
        .outerjoin(predictions, and_(predictions.c.video_id == content, that_counts()))
        .outerjoin(models, models.c.id == predictions.c.model_id)
        .outerjoin(labels, labels.c.id == newest_id(content))
    )


def as_stored(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A column's value as the database holds it, whatever it stands for."""
    named = getattr(column, "name", None)
    return _Stored(column).label(named)


class _Stored(FunctionElement[str]):
    """A value that no type makes an object of. SQLite stores texts; a server is asked for them."""

    type = Text()
    inherit_cache = True


@compiles(_Stored)
def _as_it_is(element: _Stored, compiler: SQLCompiler, **more: Any) -> str:
    return compiler.process(element.clauses, **more)


@compiles(_Stored, "postgresql")
def _as_text(element: _Stored, compiler: SQLCompiler, **more: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **more)} AS TEXT)"

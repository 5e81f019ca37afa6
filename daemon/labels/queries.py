"""Queries of labels that several rooms ask. Only reads."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, select

from daemon.database.tables import labels, predictions, stands, videos


def newest() -> Select[Any]:
    """The label that counts of each video of which something was said: the newest that stands."""
    later = labels.alias()
    newer = select(later.c.id).where(
        later.c.video_id == labels.c.video_id, later.c.id > labels.c.id, stands(later)
    )
    # Not the greatest id of each video: for the labels of one video, or of today, SQLite would look through them all.
    return select(labels).where(stands(), not_(newer.exists()))


def new_since(last_label: int) -> Select[Any]:
    """The classes, by `name`, that answered videos were given since this label, and `n`, how many of each.

    What could not be read teaches nothing, of what is not read yet nobody knows, and a label that is said again tells
    nothing new.
    """
    of_this = predictions.c.video_id == labels.c.video_id, predictions.c.kind == "answer"
    answered = (
        select(predictions.c.id).where(*of_this).exists()
    )  # joined, SQLite would begin with all the predictions
    said = (
        newest()
        .where(labels.c.id > last_label, labels.c.verdict == "labelled", answered)
        .subquery()
    )
    before = labels.alias()
    known = select(before.c["class"]).where(
        before.c.video_id == said.c.video_id, before.c.id <= last_label
    )
    known = known.where(stands(before)).order_by(before.c.id.desc()).limit(1)
    new = select(said.c["class"].label("name"), func.count().label("n"))
    return new.where(said.c["class"].is_distinct_from(known.scalar_subquery())).group_by(
        said.c["class"]
    )


def find(read: Connection, condition: Any) -> dict[int, Any]:
    """Videos by id: their rows, with `content`, the first video that held the same, and its `answer` and `doubt`."""
    content = func.coalesce(videos.c.duplicate_of, videos.c.id)
    answer = and_(predictions.c.video_id == content, predictions.c.kind == "answer")
    columns = (
        content.label("content"),
        predictions.c["class"].label("answer"),
        predictions.c.doubt,
    )
    query = (
        select(videos, *columns)
        .outerjoin(predictions, answer)
        .where(condition)
        .order_by(videos.c.id)
    )
    return {row["id"]: row for row in read.execute(query).mappings()}


def came_labelled(video_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a person put it into a class folder at once: it is not what comes in by itself."""
    return (
        select(labels.c.id)
        .where(labels.c.video_id == video_id, labels.c.source == "folder")
        .exists()
    )

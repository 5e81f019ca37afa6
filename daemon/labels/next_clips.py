"""Which unlabelled clips should be labelled next, and in what order. Only reads.

First the clips that may be of a class that is short of labelled clips, then those of which the
model is least certain. The probability of a long video says how much of it its class has, so those
of which the model is sure come last.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, not_, or_, select

from daemon.database.expressions import (
    as_now,
    group_of_video,
    lies_below,
    shown_name,
    stands,
    that_counts,
)
from daemon.database.tables import PREDICTED, class_names, labels, predictions, videos, windows
from daemon.home.folders import Folders
from daemon.home.identity import is_there
from daemon.home.texts import printable
from learner.texts import counted


@dataclass(frozen=True)
class NextClip:
    """A clip to be labelled."""

    id: int
    name: str
    predicted: str
    probability: float
    is_unsure: bool
    is_of_short_class: bool
    """Whether it is predicted as a class that is short of labelled clips."""
    is_long: bool
    """Whether it was cut into windows."""


def next_clips(connection: Connection, short: Collection[str], most: int) -> list[NextClip]:
    """The first clips to be labelled, of those whose files are there.

    Args:
        connection: To the database.
        short: The classes that are short of labelled clips.
        most: How many at most.
    """
    order = by_need(short, None).subquery()
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    query = select(
        order.c.id,
        shown_name(),
        videos.c.path,
        videos.c.destination,
        videos.c.moving_to,
        as_now(predictions.c["class"]).label("predicted"),
        predictions.c.probability,
        predictions.c.doubt,
        order.c.is_long,
    )
    query = query.join(videos, videos.c.id == order.c.id).join(predictions, prediction)
    # Read only as far as needed: many files may be gone, and many more clips wait.
    rows = connection.execute(query.order_by(order.c.place).execution_options(yield_per=100))
    there = (row for row in rows if is_there(row.path, row.destination, row.moving_to))
    found = [
        NextClip(
            id=row.id,
            name=printable(row.shown_name),
            predicted=printable(row.predicted),
            probability=row.probability,
            is_unsure=row.doubt is not None,
            is_of_short_class=row.predicted in short,
            is_long=row.is_long,
        )
        for row in islice(there, most)
    ]
    rows.close()
    return found


def by_need(short: Collection[str], limit: int | None) -> Select[Any]:
    """The clips without a label, outside the random share, in the order of need.

    All of them if `limit` is None.

    Each row has `id`, `group`, `is_long`, `place` from 1, and `total`, how many clips there are in
    all.

    Clips that are predicted as a class in `short` come first, then unsure predictions, then the
    least probable ones, and long videos last. The second clip of a group comes after the first clip
    of each other group, so that one long scene cannot fill the page. For that every row that waits
    is ranked: 0.3 s for a hundred thousand.
    """
    former = select(class_names.c.old).where(class_names.c.new.in_(list(short)))
    is_short = or_(predictions.c["class"].in_(list(short)), predictions.c["class"].in_(former))
    is_wanted = is_short if short else false()
    plenty = not_(is_wanted)
    sure = predictions.c.doubt.is_(None)
    probability = predictions.c.probability
    is_long = select(windows.c.id).where(windows.c.video_id == videos.c.id).exists()
    comes_last = and_(sure, is_long)
    order = (plenty, sure, comes_last, probability, videos.c.id)
    rank = func.row_number().over(partition_by=group_of_video(), order_by=order)
    columns = (
        plenty.label("plenty"),
        sure.label("sure"),
        is_long.label("is_long"),
        comes_last.label("comes_last"),
        probability.label("probability"),
        rank.label("rank"),
    )
    waiting = reviewable(*columns).where(not_(videos.c.sampled), is_unlabelled()).subquery()
    ranked = (
        waiting.c.plenty,
        waiting.c.sure,
        waiting.c.comes_last,
        waiting.c.rank,
        waiting.c.probability,
        waiting.c.id,
    )
    place = func.row_number().over(order_by=ranked).label("place")
    total = func.count().over().label("total")
    query = select(waiting.c.id, waiting.c.group, waiting.c.is_long, place, total)
    return query.order_by(place).limit(limit)


def count_unsure(connection: Connection, folders: Folders) -> int:
    """How many files of unsure predictions have no label.

    They are found by their folder: there is an index of the paths.
    """
    is_there = lies_below(videos.c.path, folders.unsure())
    unlabelled = select(func.count()).select_from(videos).where(is_there, is_unlabelled())
    return connection.scalar(unlabelled) or 0


def unsure_in_words(n: int) -> str:
    """What `count_unsure` gives, in the words of `vidwatch status` and of the page."""
    return f"{counted(n, 'unsure clip')} without a label"


def reviewable(*columns: ColumnElement[Any]) -> Select[Any]:
    """Videos with a prediction, and only the first video of each content: `id`, `group`, others."""
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    query = select(videos.c.id, group_of_video().label("group"), *columns)
    is_predicted = videos.c.state.in_(PREDICTED)
    is_first = videos.c.duplicate_of.is_(None)
    return query.join(predictions, prediction).where(is_predicted, is_first)


def is_unlabelled() -> ColumnElement[bool]:
    """Whether a video has no label that counts."""
    given = and_(labels.c.video_id == videos.c.id, stands())
    return not_(select(labels.c.id).where(given).exists())

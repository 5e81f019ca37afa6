"""Which unlabelled clips should be labelled next, and in what order. Only reads.

First the clips that may be of a class that is short of labelled clips, then those of which the
model is least certain. The probability of a long video says how much of it its class has, so those
of which the model is sure come last.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, select, true

from daemon.database.expressions import (
    as_now,
    group_of_video,
    lies_below,
    shown_name,
    stands,
    that_counts,
)
from daemon.database.tables import PREDICTED, class_names, labels, predictions, videos, windows
from daemon.database.values import DOUBTS
from daemon.home.folders import Folders
from daemon.home.identity import is_there
from daemon.home.texts import printable
from daemon.labels.queries import awaits_random_review
from learner.texts import counted

REACH = 2000  # clips of a kind that are looked at


@dataclass(frozen=True)
class Needed:
    """A clip without a label, outside the random share."""

    id: int
    group: str
    """Clips of one group look alike."""
    is_long: bool
    """Whether it was cut into windows."""


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
    limit = REACH
    while True:
        needed = by_need(connection, short, limit)
        found = list(islice(_there(connection, needed, short), most))
        # Many files may be gone, and many more clips wait.
        if len(found) == most or len(needed) < limit:
            return found
        limit *= 10


def _there(
    connection: Connection, needed: Sequence[Needed], short: Collection[str]
) -> Iterator[NextClip]:
    """Those of these clips whose files are there, in their order."""
    for one in needed:
        query = select(
            shown_name(),
            videos.c.path,
            videos.c.destination,
            videos.c.moving_to,
            as_now(predictions.c["class"]).label("predicted"),
            predictions.c.probability,
            predictions.c.doubt,
        )
        prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
        query = query.join(predictions, prediction).where(videos.c.id == one.id)
        row = connection.execute(query).one()
        if is_there(row.path, row.destination, row.moving_to):
            yield NextClip(
                id=one.id,
                name=printable(row.shown_name),
                predicted=printable(row.predicted),
                probability=row.probability,
                is_unsure=row.doubt is not None,
                is_of_short_class=row.predicted in short,
                is_long=one.is_long,
            )


def by_need(
    connection: Connection,
    short: Collection[str],
    most: int,
    *,
    only_unsure: bool = False,
    only_short: bool = False,
) -> list[Needed]:
    """The first clips without a label, outside the random share, in the order of need.

    Clips that are predicted as a class in `short` come first, then unsure predictions, then the
    least probable ones, and long videos last. The second clip of a group comes after the first clip
    of each other group, so that one long scene cannot fill the page.

    Of each of these kinds, the `REACH` least probable clips are looked at, or more if more are
    asked for: indexes give them in this order, so that a million clips that wait are not read.

    Args:
        connection: To the database.
        short: The classes that are short of labelled clips.
        most: How many clips at most.
        only_unsure: Leave out what the model is sure of.
        only_short: Leave out clips that are predicted as other classes than those in `short`.
    """
    reach = max(REACH, most)
    found: list[Needed] = []
    of_group = Counter[str]()
    for kind in _kinds(connection, short, only_unsure=only_unsure, only_short=only_short):
        rows = [row for query in kind for row in connection.execute(query.limit(reach))]
        rows.sort(key=lambda row: (row.probability, row.id))
        ranked = []
        for row in rows:
            of_group[row.group] += 1
            ranked.append((of_group[row.group], row.probability, row.id, row))
        ranked.sort(key=lambda one: one[:3])
        found += [Needed(row.id, row.group, bool(row.is_long)) for *_, row in ranked]
        if len(found) >= most:
            break
    return found[:most]


def of_class(connection: Connection, class_name: str, most: int) -> list[Needed]:
    """The first clips that are predicted as a class, as `by_need`."""
    return by_need(connection, [class_name], most, only_short=True)


def sure_of_class(connection: Connection, class_name: str, most: int) -> list[Needed]:
    """The first clips of which the model is sure that they are of a class.

    Those without a label, outside the random share. The least probable ones come first, since wrong
    ones are among them.
    """
    sure = predictions.c.doubt.is_(None)
    rows = [
        row
        for name in _names(connection, [class_name])
        for row in connection.execute(_unlabelled(predictions.c["class"] == name, sure).limit(most))
    ]
    rows.sort(key=lambda row: (row.probability, row.id))
    return [Needed(row.id, row.group, bool(row.is_long)) for row in rows[:most]]


def _names(connection: Connection, classes: Collection[str]) -> list[str]:
    """The names by which models may know these classes: those that they had before, too."""
    former = select(class_names.c.old).where(class_names.c.new.in_(list(classes)))
    return sorted({*classes, *connection.scalars(former)} if classes else ())


def _kinds(
    connection: Connection, short: Collection[str], *, only_unsure: bool, only_short: bool
) -> Iterator[list[Select[Any]]]:
    """The kinds of clips, the most needed first: queries of each kind, each in its order."""
    wanted = _names(connection, short)
    class_name = predictions.c["class"]
    is_long = select(windows.c.id).where(windows.c.video_id == predictions.c.video_id).exists()
    unsure = [predictions.c.doubt == doubt for doubt in DOUBTS]
    sure = predictions.c.doubt.is_(None)
    kinds = [unsure]
    if not only_unsure:
        kinds += [[and_(sure, not_(is_long))], [and_(sure, is_long)]]
    for conditions in kinds if wanted else ():
        yield [_unlabelled(class_name == name, one) for name in wanted for one in conditions]
    plenty = class_name.not_in(wanted) if wanted else true()
    for conditions in () if only_short else kinds:
        yield [_unlabelled(plenty, one) for one in conditions]


def _unlabelled(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Clips without a label, outside the random share, the least probable first.

    Each row has `id`, `group`, `is_long` and `probability`.
    """
    own = and_(
        videos.c.id == predictions.c.video_id,
        videos.c.state.in_(PREDICTED),
        videos.c.duplicate_of.is_(None),
        not_(videos.c.sampled),
    )
    given = and_(labels.c.video_id == predictions.c.video_id, stands())
    is_long = select(windows.c.id).where(windows.c.video_id == predictions.c.video_id).exists()
    # Not joined: a database could begin with all the videos, and sort them.
    group = select(group_of_video()).where(videos.c.id == predictions.c.video_id)
    query = select(
        predictions.c.video_id.label("id"),
        group.scalar_subquery().label("group"),
        is_long.label("is_long"),
        predictions.c.probability,
    )
    return query.where(
        that_counts(),
        *conditions,
        select(videos.c.id).where(own).exists(),
        not_(select(labels.c.id).where(given).exists()),
    ).order_by(predictions.c.probability, predictions.c.video_id)


def count_unsure(connection: Connection, folders: Folders) -> int:
    """How many files of unsure predictions have no label.

    They are found by their folder: there is an index of the paths. Without clips of the random
    share that await their review: the figure would tell what was predicted.
    """
    may_tell = (is_unlabelled(), not_(awaits_random_review()))
    is_there = lies_below(videos.c.path, folders.unsure())
    unlabelled = select(func.count()).select_from(videos).where(is_there, *may_tell)
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

"""Which clips are to be reviewed, and in what order: two queries and a pure function.

Writes nothing.

Live accuracy comes from the random share alone. So its clips come whatever the model predicts of
them. They also stay to be reviewed if they were labelled elsewhere, because people correct wrong
predictions first.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, and_, func, not_, select

from daemon.database.expressions import content_of_video, stands
from daemon.database.tables import labels, predictions, videos
from daemon.home.folders import Folders
from daemon.labels.next_clips import by_need, count_unsure, is_unlabelled, reviewable

CANDIDATES = 200
EVERY = 4  # one place in so many is for the random share


@dataclass(frozen=True)
class Candidate:
    """A clip to be reviewed."""

    id: int
    group: str
    """Clips of one group look alike."""


@dataclass(frozen=True)
class Waiting:
    """The clips to be reviewed."""

    random_share: list[Candidate]
    """The first clips of the random share."""
    by_uncertainty: list[Candidate]
    """The first of all other clips: those of classes that are short of labelled clips, then those
    of which the model is least certain."""
    random_share_total: int
    """How many there are, those that were skipped included."""
    by_uncertainty_total: int
    """How many there are, those that were skipped included."""


def read_waiting(
    connection: Connection, skipped: Collection[int] = (), short: Collection[str] = ()
) -> Waiting:
    """The clips to be reviewed, without those that were skipped.

    Clips that are predicted as one of the classes in `short`, which are short of labelled clips,
    come before the others outside the random share.
    """
    limit = CANDIDATES + len(skipped)
    random_share = connection.execute(_random_share(limit)).all()
    by_uncertainty = connection.execute(by_need(short, limit)).all()
    return Waiting(
        random_share=_candidates(random_share, skipped),
        by_uncertainty=_candidates(by_uncertainty, skipped),
        random_share_total=random_share[0].total if random_share else 0,
        by_uncertainty_total=by_uncertainty[0].total if by_uncertainty else 0,
    )


@dataclass(frozen=True)
class Waits:
    """How many clips are to be reviewed."""

    doubtful: int
    """Unsure predictions without a label: the number that `vidwatch status` shows."""
    random: int
    """Of the random share."""
    all: int
    """Those of the random share, and all others without a label."""


def count_waiting(connection: Connection, folders: Folders) -> Waits:
    """How many clips are to be reviewed."""
    count = func.count().label("n")
    random_share = reviewable().where(awaits_random_review()).subquery()
    others = reviewable().where(not_(videos.c.sampled), is_unlabelled()).subquery()
    random = connection.scalar(select(count).select_from(random_share)) or 0
    other = connection.scalar(select(count).select_from(others)) or 0
    return Waits(count_unsure(connection, folders), random, random + other)


def in_order(
    by_uncertainty: Sequence[Candidate], random_share: Sequence[Candidate], start: int = 0
) -> Iterator[Candidate]:
    """Mix both lists; each clip comes once.

    Every fourth place, counted from `start`, is for the random share. When one list is used up, the
    other one takes all places. The random share keeps its order. Of the other clips, the first
    whose group is not that of a neighbour is taken.
    """
    others = list(by_uncertainty)
    drawn = list(random_share)
    last_group = ""
    place = start
    while others or drawn:
        if drawn and (_is_for_random_share(place) or not others):
            chosen = drawn.pop(0)
        else:
            is_before_drawn = bool(drawn) and _is_for_random_share(place + 1)
            next_group = drawn[0].group if is_before_drawn else last_group
            chosen = others.pop(_first_of_other_group(others, last_group, next_group))
        yield chosen
        last_group = chosen.group
        place += 1


def awaits_random_review(video: FromClause = videos) -> ColumnElement[bool]:
    """Whether a video is of the random share, and was not reviewed as such.

    A review whose label was taken back does not count.
    """
    given = and_(labels.c.video_id == video.c.id, labels.c.sampled, stands())
    return and_(video.c.sampled, not_(select(labels.c.id).where(given).exists()))


def content_is_blind() -> ColumnElement[bool]:
    """Whether what is in the file of a row of `videos` is to be reviewed without knowing more.

    Also of a copy of such a clip.
    """
    first = videos.alias()
    is_first = first.c.id == content_of_video()
    return select(first.c.id).where(is_first, awaits_random_review(first)).exists()


def _candidates(rows: Sequence[Any], skipped: Collection[int]) -> list[Candidate]:
    return [Candidate(row.id, row.group) for row in rows if row.id not in skipped]


def _is_for_random_share(place: int) -> bool:
    return place % EVERY == EVERY - 1


def _first_of_other_group(clips: Sequence[Candidate], last_group: str, next_group: str) -> int:
    """The position of the first clip of neither group.

    If there is none, of the first clip that is not of the last group; else 0.
    """
    for avoided in ({last_group, next_group}, {last_group}):
        for position, candidate in enumerate(clips):
            if candidate.group not in avoided:
                return position
    return 0


def _random_share(limit: int) -> Select[Any]:
    """Clips that the newest model predicted first, because it is the one to be measured.

    Then in the order of their hashes, which is by chance.
    """
    drawn = reviewable(func.count().over().label("total")).where(awaits_random_review())
    return drawn.order_by(predictions.c.model_id.desc(), videos.c.sha256).limit(limit)

"""Which clips are to be reviewed, and in what order: two queries, and a pure function. Writes nothing.

Live accuracy comes from the random share alone, so its clips come oldest first, whatever the model thinks of them, and
stay to be reviewed when they were labelled otherwise: people correct wrong answers first.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, select

from daemon.database.tables import group_of_video, labels, predictions, stands, that_counts, videos

CANDIDATES = 200
EVERY = 4  # one place in so many is the random share's


@dataclass(frozen=True)
class Candidate:
    """A clip to be reviewed; clips of one `group` look alike."""

    id: int
    group: str


@dataclass(frozen=True)
class Waiting:
    """The first of those to be reviewed, and how many there are in all."""

    uncertain: list[Candidate]
    share: list[Candidate]
    uncertain_in_all: int
    share_in_all: int


def read_waiting(read: Connection, skipped: Collection[int] = ()) -> Waiting:
    """The clips to be reviewed, but for those that were skipped."""
    limit = CANDIDATES + len(skipped)
    uncertain, share = read.execute(_uncertain(limit)).all(), read.execute(_share(limit)).all()
    return Waiting(
        [Candidate(row.id, row.group) for row in uncertain if row.id not in skipped],
        [Candidate(row.id, row.group) for row in share if row.id not in skipped],
        uncertain[0].in_all if uncertain else 0,
        share[0].in_all if share else 0,
    )


def in_order(
    uncertain: Sequence[Candidate], share: Sequence[Candidate], start: int = 0
) -> Iterator[Candidate]:
    """Each of both once. Every fourth place, counted from `start`, is the share's; what one lacks, the other fills.

    The share's order stays as it is; of the uncertain, one whose neighbours are of other groups comes first.
    """
    left, drawn, last, place = list(uncertain), list(share), "", start
    while left or drawn:
        if drawn and (_is_shares(place) or not left):
            chosen = drawn.pop(0)
        else:
            after = drawn[0].group if drawn and _is_shares(place + 1) else last
            chosen = left.pop(_first_but(left, last, after))
        yield chosen
        last, place = chosen.group, place + 1


def in_share() -> ColumnElement[bool]:
    """Of the random share, and not reviewed as such yet, or what was said then was taken back."""
    reviewed = (
        select(labels.c.id)
        .where(labels.c.video_id == videos.c.id, labels.c.sampled, stands())
        .exists()
    )
    return and_(videos.c.sampled, not_(reviewed))


def _is_shares(place: int) -> bool:
    return place % EVERY == EVERY - 1


def _first_but(left: Sequence[Candidate], *groups: str) -> int:
    """The first of none of these groups, else the first that is not of the first of them, else the first."""
    for avoided in (groups, groups[:1]):
        for position, candidate in enumerate(left):
            if candidate.group not in avoided:
                return position
    return 0


def _uncertain(limit: int) -> Select[Any]:
    """Doubtful ones first, then the least probable; the second of a group comes after the first of all others.

    Every row that waits is ranked, so that one long scene cannot fill the page: 0.3 s of a hundred thousand.
    """
    sure, probability = predictions.c.doubt.is_(None), predictions.c.probability
    rank = func.row_number().over(
        partition_by=group_of_video(), order_by=(sure, probability, videos.c.id)
    )
    columns = (sure.label("sure"), probability.label("probability"), rank.label("rank"))
    waiting = _reviewable(*columns).where(not_(videos.c.sampled), _unsaid()).subquery()
    named = (waiting.c.id, waiting.c.group, func.count().over().label("in_all"))
    return (
        select(*named)
        .order_by(waiting.c.sure, waiting.c.rank, waiting.c.probability, waiting.c.id)
        .limit(limit)
    )


def _share(limit: int) -> Select[Any]:
    """By the model that answered, the newest first: it is the one to be judged. Then by chance, which a hash is."""
    drawn = _reviewable(func.count().over().label("in_all")).where(in_share())
    return drawn.order_by(predictions.c.model_id.desc(), videos.c.sha256).limit(limit)


def _reviewable(*columns: ColumnElement[Any]) -> Select[Any]:
    """Answered, and the first of their content."""
    answered = select(videos.c.id, group_of_video().label("group"), *columns).join(
        predictions, and_(predictions.c.video_id == videos.c.id, that_counts())
    )
    return answered.where(
        videos.c.state.in_(("filed", "classified")), videos.c.duplicate_of.is_(None)
    )


def _unsaid() -> ColumnElement[bool]:
    """Nothing was said of it that counts."""
    return not_(select(labels.c.id).where(labels.c.video_id == videos.c.id, stands()).exists())

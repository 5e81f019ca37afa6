"""Which clips are to be reviewed, and in what order: queries and a pure function.

Writes nothing.

Live accuracy comes from the random share alone. So its clips come whatever the model predicts of
them. They also stay to be reviewed if they were labelled elsewhere, because people correct wrong
predictions first.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

from sqlalchemy import Connection, Select, and_, func, not_, or_, select

from daemon.database.expressions import group_of_video, that_counts
from daemon.database.tables import PREDICTED, models, predictions, videos
from daemon.home.folders import Folders
from daemon.labels.next_clips import (
    Needed,
    by_need,
    count_unsure,
    is_unlabelled,
    reviewable,
)
from daemon.labels.queries import awaits_random_review

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
    """The first clips to be reviewed."""

    random_share: list[Candidate]
    """Of the random share."""
    by_uncertainty: list[Candidate]
    """The others: those of classes that are short of labelled clips, then those of which the model
    is least certain."""


@dataclass(frozen=True)
class Wish:
    """Which clips a person wants to review."""

    what: Literal["all", "doubtful", "random", "class"] = "all"
    """"doubtful": the predictions that are unsure. "random": the random share."""
    class_name: str = ""
    """For "class": the predictions of this class."""

    @property
    def fields(self) -> str:
        """How it is written in a form, and in an address; empty for all."""
        if self.what == "all":
            return ""
        is_class = self.what == "class"
        return urlencode({"class": self.class_name} if is_class else {"what": self.what})

    @property
    def query(self) -> str:
        """What follows the path in an address."""
        return f"?{self.fields}" if self.fields else ""

    @property
    def words(self) -> str:
        """Of which clips it is, for people."""
        texts = {"doubtful": "doubtful", "random": "random", "all": "to review"}
        return texts.get(self.what, f"predicted as {self.class_name}")


def read_wish(fields: Mapping[str, str]) -> Wish:
    """What an address, or a form, asks for; all clips if that is not known."""
    if name := fields.get("class", ""):
        return Wish("class", name)
    what = fields.get("what", "")
    return Wish(what) if what in ("doubtful", "random") else Wish()  # type: ignore[arg-type]


def read_waiting(
    connection: Connection,
    skipped: Collection[int] = (),
    short: Collection[str] = (),
    wish: Wish | None = None,
) -> Waiting:
    """The first clips to be reviewed, without those that were skipped.

    Clips that are predicted as one of the classes in `short`, which are short of labelled clips,
    come before the others outside the random share. A clip of the random share comes only if all
    are wished for, or that share: another wish would tell what was predicted of it.
    """
    wish = wish or Wish()
    limit = CANDIDATES + len(skipped)
    random_share: list[Candidate] = []
    by_uncertainty: list[Needed] = []
    if wish.what in ("all", "random"):
        random_share = _random_share(connection, limit)
    if wish.what == "class":
        by_uncertainty = by_need(connection, [wish.class_name], limit, only_short=True)
    elif wish.what != "random":
        only_unsure = wish.what == "doubtful"
        by_uncertainty = by_need(connection, short, limit, only_unsure=only_unsure)
    others = [Candidate(one.id, one.group) for one in by_uncertainty]
    return Waiting(
        random_share=[one for one in random_share if one.id not in skipped],
        by_uncertainty=[one for one in others if one.id not in skipped],
    )


def still_waiting(connection: Connection, ids: Sequence[int]) -> list[int]:
    """Those of these clips that are to be reviewed, in their order."""
    if not ids:
        return []
    is_other = and_(not_(videos.c.sampled), is_unlabelled())
    waits = or_(is_other, awaits_random_review())
    query = reviewable().where(videos.c.id.in_(ids), waits)
    found = set(connection.scalars(query))
    return [video for video in dict.fromkeys(ids) if video in found]


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


def _random_share(connection: Connection, limit: int) -> list[Candidate]:
    """Clips that the newest model predicted first, because it is the one to be measured.

    Then in the order of their hashes, which is by chance.
    """
    found: list[Candidate] = []
    for model in connection.scalars(select(models.c.id).order_by(models.c.id.desc())):
        query = _drawn_of(model).limit(limit - len(found))
        found += [Candidate(row.id, row.group) for row in connection.execute(query)]
        if len(found) == limit:
            break
    return found


def _drawn_of(model: int) -> Select[Any]:
    """The clips of the random share that a model predicted, in the order of their hashes.

    There is an index of these. Not joined: a database could begin with all the predictions.
    """
    own = and_(
        predictions.c.video_id == videos.c.id, that_counts(), predictions.c.model_id == model
    )
    # No bare column: SQLite would find the rows by their state, and sort all of them.
    is_predicted = videos.c.state.concat("").in_(PREDICTED)
    query = select(videos.c.id, group_of_video().label("group")).where(
        awaits_random_review(),
        is_predicted,
        videos.c.duplicate_of.is_(None),
        select(predictions.c.id).where(own).exists(),
    )
    return query.order_by(videos.c.sha256, videos.c.id)

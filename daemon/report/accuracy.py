"""How far the predictions can be relied on: queries that only read.

Only the prediction that decides where a video is filed counts, not that of a challenger or of a
later model. Weeks begin on Monday, in the zone of the person who asks, also if the clocks change.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, not_, select

from daemon.database.expressions import as_now, stands, that_counts
from daemon.database.tables import labels, models, predictions, videos
from daemon.home.folders import Folders
from daemon.labels.next_clips import count_unsure
from daemon.labels.queries import blind_ids, came_labelled, newest
from daemon.report.drift import WEEK, compare, read_recent
from daemon.report.statistics import wilson

BINS = 10


@dataclass(frozen=True)
class Live:
    """How often a model's predictions for the random share were right."""

    model: str
    n: int
    """How many predictions for clips of the random share a reviewer has labelled."""
    right: int
    """How many of the `n` were right."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of `right` / `n`. Clips of one group are alike, which makes the true
    interval wider still."""
    undecidable: int
    """How many more clips were reviewed, whose class the reviewer could not tell."""


@dataclass(frozen=True)
class LiveWeek(Live):
    """How often the predictions of one week were right."""

    week: date
    """Its Monday."""


@dataclass(frozen=True)
class Bin:
    """The predictions with a probability from `low` to `high`."""

    low: float
    high: float
    n: int
    """How many there are."""
    probability: float
    """The mean of their probabilities."""
    right: float
    """The share of them that was right."""


@dataclass(frozen=True)
class Week:
    """The videos that were predicted in one week."""

    week: date
    """Its Monday."""
    n: int
    """How many there are."""
    unsure: int
    """How many of them are of no class: the person was unsure, or else the model."""
    classes: dict[str, int]
    """How many are of each class, the most frequent first: by their labels, or else by predictions
    that are not unsure."""


@dataclass(frozen=True)
class Quality:
    """How far the predictions can be relied on."""

    counted: int
    """The predictions of the last 7 days, or of a sample of them."""
    unsure: int
    """How many of these are unsure."""
    awaiting: int
    """How many files lie among the unsure ones without a label."""
    live: Live | None
    """How often the champion was right; None if nothing was reviewed, or there is no champion."""
    to_review: bool
    """Whether the champion predicted clips of the random share lately: they can be reviewed."""
    drift: list[str]
    """Warnings that what arrives has changed."""

    def to_json(self) -> dict[str, Any]:
        """Three keys of the status."""
        return {
            "unsure": {
                "share": self.unsure / self.counted if self.counted else None,
                "looked_at": self.counted,
                "awaiting_review": self.awaiting,
            },
            "live_accuracy": asdict(self.live) if self.live else None,
            "drift": self.drift,
        }


def live_accuracy(connection: Connection, zone: tzinfo | None = None) -> list[LiveWeek]:
    """How often the predictions of each week and model were right, by the random share alone.

    A clip counts if it was drawn at its arrival, and was reviewed as one of the random share. What
    people correct is wrong more often than the rest. What is reviewed first is what the model was
    unsure of. So neither says how often the model is right, and the review has to ask about a clip
    of the random share even if someone has corrected it already.

    Args:
        connection: To the database.
        zone: Whose weeks count; None for the zone of this machine.
    """
    reviewed = defaultdict(list)
    for row in connection.execute(reviewed_clips()):
        reviewed[_monday(row.created_at, zone), row.model].append(row)
    return [_live_week(week, model, reviewed[week, model]) for week, model in sorted(reviewed)]


def live_total(connection: Connection, model: str) -> Live | None:
    """How often all predictions of one model were right; None if not one was reviewed."""
    reviewed = reviewed_clips().where(models.c.name == model).subquery()
    is_decided = reviewed.c.verdict == "labelled"
    is_right = reviewed.c.predicted == reviewed.c.label
    counts = select(
        func.count(),
        func.count().filter(is_decided),
        func.count().filter(is_decided, is_right),
    )
    n_reviewed, n, right = connection.execute(counts.select_from(reviewed)).one()
    if not n_reviewed:
        return None
    return Live(model, n, right, wilson(right, n), n_reviewed - n)


def calibration(connection: Connection, model: str | None = None) -> list[Bin]:
    """Probabilities compared with how often they were right, of one model or of all.

    By the same clips as `live_accuracy`. Empty bins are left out.
    """
    query = reviewed_clips()
    if model:
        query = query.where(models.c.name == model)
    bins = defaultdict(list)
    for row in connection.execute(query):
        if row.verdict == "labelled":
            index = min(int(row.probability * BINS), BINS - 1)
            bins[index].append((row.probability, row.predicted == row.label))
    return [_bin(index, bins[index]) for index in sorted(bins)]


def weeks(
    connection: Connection, now: datetime, count: int = 12, zone: tzinfo | None = None
) -> list[Week]:
    """The videos of the last `count` weeks, the oldest first. The last one is not over yet.

    A label counts more than the prediction, and an unsure prediction counts for no class. Clips of
    the random share that await their review are left out: they would tell what was predicted.

    Args:
        connection: To the database.
        now: The time.
        count: How many weeks.
        zone: Whose weeks count; None for the zone of this machine.
    """
    mondays = [_monday(now, zone) - n * WEEK for n in reversed(range(count))]
    begins = [datetime.combine(monday, time.min, zone).astimezone(UTC) for monday in mondays]
    at = predictions.c.created_at
    later_first = reversed(list(enumerate(begins)))
    week = case(*((at >= begin, n) for n, begin in later_first)).label("week")
    label = newest().subquery()
    by_model = case((predictions.c.doubt.is_(None), as_now(predictions.c["class"])))
    is_labelled = label.c.id.is_not(None)
    class_name = case((is_labelled, label.c["class"]), else_=by_model).label("class_name")
    query = select(week, class_name, func.count().label("n"))
    query = query.outerjoin_from(predictions, label, label.c.video_id == predictions.c.video_id)
    is_new = not_(came_labelled(predictions.c.video_id))
    may_tell = predictions.c.video_id.not_in(blind_ids())
    query = query.where(that_counts(), at >= begins[0], is_new, may_tell)
    query = query.group_by("week", "class_name")
    classes: list[Counter[str]] = [Counter() for _ in mondays]
    unsure = Counter[int]()
    for row in connection.execute(query):
        if row.class_name is None:
            unsure[row.week] += row.n
        else:
            classes[row.week][row.class_name] += row.n
    return [
        Week(monday, found.total() + unsure[n], unsure[n], dict(found.most_common()))
        for n, (monday, found) in enumerate(zip(mondays, classes, strict=True))
    ]


def drift(connection: Connection, now: datetime) -> list[str]:
    """The warnings of `daemon.report.drift.compare`, as things stand."""
    return compare(read_recent(connection, now))


def quality(connection: Connection, folders: Folders, model: str | None, now: datetime) -> Quality:
    """What `status` shows about the predictions. `model` is the champion."""
    recent = read_recent(connection, now)
    return Quality(
        counted=len(recent.week),
        unsure=sum(prediction.unsure for prediction in recent.week),
        awaiting=count_unsure(connection, folders),
        live=live_total(connection, model) if model else None,
        to_review=any(
            prediction.sampled and prediction.model == model
            for prediction in recent.week + recent.before
        ),
        drift=compare(recent),
    )


def reviewed_clips() -> Select[Any]:
    """The predictions for reviewed clips of the random share, each with the reviewer's label.

    That is the newest one that was given while the random share was reviewed, and that nobody has
    taken back.
    """
    given = labels.alias()
    later = labels.alias()
    is_later = and_(later.c.video_id == given.c.video_id, later.c.id > given.c.id)
    newer = select(later.c.id).where(is_later, later.c.sampled, stands(later))
    # Found by their ids, or SQLite would begin with the predictions.
    newest = select(given.c.id).where(given.c.sampled, stands(given), not_(newer.exists()))
    own = and_(predictions.c.video_id == videos.c.id, that_counts())
    columns = (
        models.c.name.label("model"),
        as_now(predictions.c["class"]).label("predicted"),
        predictions.c.probability,
        predictions.c.created_at,
        labels.c.verdict,
        labels.c["class"].label("label"),
    )
    return (
        select(*columns)
        .select_from(labels)
        .join(videos, videos.c.id == labels.c.video_id)
        .join(predictions, own)
        .join(models)
        .where(labels.c.id.in_(newest), videos.c.sampled)
    )


def _live_week(week: date, model: str, rows: Sequence[Any]) -> LiveWeek:
    decided = [row for row in rows if row.verdict == "labelled"]
    right = sum(row.predicted == row.label for row in decided)
    return LiveWeek(
        model=model,
        n=len(decided),
        right=right,
        interval=wilson(right, len(decided)),
        undecidable=len(rows) - len(decided),
        week=week,
    )


def _bin(index: int, predicted: Sequence[tuple[float, bool]]) -> Bin:
    """The bin of these predictions, each with its probability and whether it was right."""
    return Bin(
        low=index / BINS,
        high=(index + 1) / BINS,
        n=len(predicted),
        probability=sum(probability for probability, _ in predicted) / len(predicted),
        right=sum(is_right for _, is_right in predicted) / len(predicted),
    )


def _monday(moment: datetime, zone: tzinfo | None) -> date:
    """The Monday of the moment's week, by the days of the zone."""
    day = moment.astimezone(zone).date()
    return day - timedelta(days=day.weekday())

"""How far the answers can be relied on: queries that only read.

Only answers count, not what a challenger or a later model says. Weeks begin on Monday, in UTC.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import fmean
from typing import Any

from sqlalchemy import Connection, Date, Select, and_, func, not_, select

from daemon.database.tables import (
    labels,
    lies_below,
    models,
    predictions,
    stands,
    that_counts,
    videos,
)
from daemon.home.folders import Folders
from daemon.labels.queries import came_labelled
from daemon.report.drift import WEEK, compare, recent
from daemon.report.statistics import wilson

BINS = 10


@dataclass(frozen=True)
class Live:
    """How many of a model's `n` answers to the random share were right, with Wilson's 95 % interval.

    Clips of one group are alike, which makes the true interval wider still. `undecidable`: the reviewer could not tell.
    """

    model: str
    n: int
    right: int
    interval: tuple[float, float]
    undecidable: int


@dataclass(frozen=True)
class LiveWeek(Live):
    """The same of one week's answers; `week` is its Monday."""

    week: date


@dataclass(frozen=True)
class Bin:
    """The `n` answers with a probability in this bin: their mean, and the share of them that was right."""

    low: float
    high: float
    n: int
    probability: float
    right: float


@dataclass(frozen=True)
class Week:
    """One week's `n` answers: how many were unsure, and how many named each class."""

    week: date
    n: int
    unsure: int
    classes: dict[str, int]


@dataclass(frozen=True)
class Quality:
    """How far the answers can be relied on.

    `unsure` of `looked_at` answers of the last 7 days are; `awaiting` files are among the unsure ones and nobody has
    said what they are; `live` is of the model that answers, `to_review` says that clips of the random share are there.
    """

    looked_at: int
    unsure: int
    awaiting: int
    live: Live | None
    to_review: bool
    drift: list[str]

    def to_json(self) -> dict[str, Any]:
        """Three keys of the status."""
        share = self.unsure / self.looked_at if self.looked_at else None
        return {
            "unsure": {
                "share": share,
                "looked_at": self.looked_at,
                "awaiting_review": self.awaiting,
            },
            "live_accuracy": asdict(self.live) if self.live else None,
            "drift": self.drift,
        }


def live_accuracy(read: Connection) -> list[LiveWeek]:
    """How right the answers of each week and model were, by the random share alone.

    A clip counts where it was drawn at its arrival and reviewed as one of those. What people correct is wrong more
    often than the rest, and what is reviewed first is what the model was unsure of: neither says how often it is right.
    So the review has to ask about a clip of the random share even where someone has corrected it already.
    """
    by_week = defaultdict(list)
    for row in read.execute(_reviewed()):
        by_week[_monday(row.created_at), row.model].append(row)
    return [
        LiveWeek(**_live(model, by_week[week, model]), week=week) for week, model in sorted(by_week)
    ]


def live_total(read: Connection, model: str) -> Live | None:
    """The same of all answers of one model; None where not one was reviewed."""
    seen = _reviewed().where(models.c.name == model).subquery()
    told = seen.c.verdict == "labelled"
    counted = (
        func.count(),
        func.count().filter(told),
        func.count().filter(told, seen.c.answer == seen.c.truth),
    )
    n_all, n, right = read.execute(select(*counted).select_from(seen)).one()
    return Live(model, n, right, wilson(right, n), n_all - n) if n_all else None


def calibration(read: Connection, model: str | None = None) -> list[Bin]:
    """What the probabilities of all models, or of one, were worth, by the same clips; empty bins are left out."""
    query, bins = _reviewed(), defaultdict(list)
    for row in read.execute(query.where(models.c.name == model) if model else query):
        if row.verdict == "labelled":
            bins[min(int(row.probability * BINS), BINS - 1)].append(
                (row.probability, row.answer == row.truth)
            )
    means = {
        index: [fmean(column) for column in zip(*found, strict=True)]
        for index, found in sorted(bins.items())
    }
    return [
        Bin(index / BINS, (index + 1) / BINS, len(bins[index]), *mean)
        for index, mean in means.items()
    ]


def weeks(read: Connection, now: datetime, count: int = 12) -> list[Week]:
    """The answers of the last `count` weeks, the oldest first; the last one is not over yet."""
    mondays = [_monday(now) - n * WEEK for n in reversed(range(count))]
    since = predictions.c.created_at >= datetime.combine(mondays[0], time.min, UTC)
    day, unsure = func.date(predictions.c.created_at, type_=Date), predictions.c.doubt.is_not(None)
    columns = (
        day.label("day"),
        predictions.c["class"].label("name"),
        unsure.label("unsure"),
        func.count().label("n"),
    )
    answers = select(*columns).where(
        that_counts(), since, not_(came_labelled(predictions.c.video_id))
    )
    classes, doubted = defaultdict[date, Counter[str]](Counter), Counter[date]()
    for row in read.execute(answers.group_by("day", "name", "unsure")):
        week = row.day - timedelta(days=row.day.weekday())
        classes[week][row.name] += row.n
        doubted[week] += row.n * row.unsure
    return [
        Week(week, classes[week].total(), doubted[week], dict(classes[week].most_common()))
        for week in mondays
    ]


def drift(read: Connection, now: datetime) -> list[str]:
    """The warnings of `drift.compare`, as things stand."""
    return compare(recent(read, now))


def quality(read: Connection, folders: Folders, model: str | None, now: datetime) -> Quality:
    """What `status` says of the answers, as things stand; `model` is the one that answers."""
    seen = recent(read, now)
    live = live_total(read, model) if model else None
    return Quality(
        len(seen.week),
        sum(answer.unsure for answer in seen.week),
        _awaiting(read, folders),
        live,
        any(answer.sampled and answer.model == model for answer in seen.week + seen.before),
        compare(seen),
    )


def _reviewed() -> Select[Any]:
    """The answers to clips of the random share, with what was said where that is reviewed, and was not taken back."""
    given, later = labels.alias(), labels.alias()
    newer = select(later.c.id).where(later.c.video_id == given.c.video_id, later.c.id > given.c.id)
    newer = newer.where(later.c.sampled, stands(later))
    # By their ids, or SQLite would begin with the predictions.
    last = select(given.c.id).where(given.c.sampled, stands(given), not_(newer.exists()))
    answered = and_(predictions.c.video_id == videos.c.id, that_counts())
    wanted = (
        models.c.name.label("model"),
        predictions.c["class"].label("answer"),
        predictions.c.probability,
    )
    query = select(
        *wanted, predictions.c.created_at, labels.c.verdict, labels.c["class"].label("truth")
    )
    query = query.select_from(labels).join(videos, videos.c.id == labels.c.video_id)
    return (
        query.join(predictions, answered)
        .join(models)
        .where(labels.c.id.in_(last), videos.c.sampled)
    )


def _awaiting(read: Connection, folders: Folders) -> int:
    """By their folder, which has an index."""
    lies_there = lies_below(videos.c.path, folders.unsure())
    said = select(labels.c.id).where(labels.c.video_id == videos.c.id, stands()).exists()
    return read.scalar(select(func.count()).select_from(videos).where(lies_there, not_(said))) or 0


def _live(model: str, rows: Sequence[Any]) -> dict[str, Any]:
    told = [row for row in rows if row.verdict == "labelled"]
    right = sum(row.answer == row.truth for row in told)
    counted = {"n": len(told), "right": right, "undecidable": len(rows) - len(told)}
    return {"model": model, **counted, "interval": wilson(right, len(told))}


def _monday(moment: datetime) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())

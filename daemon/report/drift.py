"""Whether what arrives has changed: this week's predictions against those of the 4 weeks before.

Only reads.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from sqlalchemy import Connection, and_, func, not_, select

from daemon.database.expressions import own_group, that_counts
from daemon.database.tables import models, predictions, videos
from daemon.labels.queries import came_labelled
from daemon.report.statistics import Tally, chi_square_term, p_value_of_classes, p_value_of_unsure

WEEK = timedelta(days=7)
BEFORE = timedelta(days=28)
SAMPLE_SIZE = 5000  # clips of these five weeks, at most
LEAST_GROUPS = 30  # in each of the two periods
LEVEL = 0.01  # the probability of a false warning, for both tests together


@dataclass(frozen=True)
class RecentPrediction:
    """What a model predicted for a clip that arrived in the last five weeks."""

    model: str
    group: str
    """The clip's group: a group of its own if it has no other."""
    class_name: str
    unsure: bool
    sampled: bool
    """Whether the clip is one of the random share."""


@dataclass(frozen=True)
class Recent:
    """The predictions of the last five weeks. If they are many, an even sample of them."""

    week: list[RecentPrediction]
    """Of the last 7 days."""
    before: list[RecentPrediction]
    """Of the 28 days before."""


def read_recent(connection: Connection, now: datetime) -> Recent:
    """The predictions of the last five weeks.

    `status` asks for them every second. If there are many clips, it reads a sample of at most
    `SAMPLE_SIZE`, which is the same one the next time.
    """
    since = now - WEEK - BEFORE
    is_recent = predictions.c.created_at >= since
    oldest_first = (
        select(predictions.c.video_id)
        .where(is_recent, that_counts())
        .order_by(predictions.c.created_at)
    )
    first = connection.scalar(oldest_first.limit(1))
    if first is None:
        return Recent([], [])
    last = connection.scalar(select(func.max(videos.c.id))) or first
    query = (
        select(
            videos.c.id,
            videos.c.group,
            videos.c.sampled,
            models.c.name.label("model"),
            predictions.c["class"].label("class_name"),
            predictions.c.doubt,
            (predictions.c.created_at >= now - WEEK).label("is_of_week"),
            is_recent.label("is_recent"),
        )
        .join_from(videos, predictions, and_(predictions.c.video_id == videos.c.id, that_counts()))
        .join(models)
        .where(videos.c.id.in_(_sample(first, last)), not_(came_labelled(videos.c.id)))
    )
    week: list[RecentPrediction] = []
    before: list[RecentPrediction] = []
    for row in connection.execute(query):
        if not row.is_recent:
            continue
        prediction = RecentPrediction(
            model=row.model,
            group=row.group or own_group(row.id),
            class_name=row.class_name,
            unsure=row.doubt is not None,
            sampled=row.sampled,
        )
        period = week if row.is_of_week else before
        period.append(prediction)
    return Recent(week, before)


def compare(recent: Recent) -> list[str]:
    """Warnings if more predictions are unsure than before, or the classes changed, beyond chance.

    Only predictions of one model are compared: another model makes other mistakes, and is unsure of
    other clips, even if the same videos arrive. It is the model with the most predictions this
    week, of those with enough in both periods. For a while after a new model takes over, there is
    no warning. Clips of one recording are alike, so each group is one observation. Unsure
    predictions count for no class. Labels do not count here: the older weeks have more of them.

    The probability of a false warning is about 1 in 100 at any one time, shared by both tests
    (Bonferroni). One week is tested at a time, and the week moves on: over a year, expect two false
    warnings, of a day or two each (simulated with 10 to 200 recordings a day).
    """
    model = _model_to_compare(recent)
    if model is None:
        return []
    week, before = (_tally(period, model) for period in (recent.week, recent.before))
    sure = [
        _tally([one for one in period if not one.unsure], model)
        for period in (recent.week, recent.before)
    ]
    warnings = []
    if p_value_of_unsure(week, before) < LEVEL / 2:
        shares = _shares(week.unsure / week.n, before.unsure / before.n)
        warnings.append(f"unsure predictions: {shares}")
    week, before = sure
    if min(week.n, before.n) >= LEAST_GROUPS and p_value_of_classes(week, before) < LEVEL / 2:
        name = _most_changed(week, before)
        shares = _shares(week.count([name]) / week.n, before.count([name]) / before.n)
        warnings.append(f"other classes than before, above all {name}: {shares}")
    return warnings


def _model_to_compare(recent: Recent) -> str | None:
    """The model with the most predictions this week, of those with enough groups in both periods.

    None if no model has enough.
    """
    comparable = {}
    for model in {prediction.model for prediction in recent.week}:
        week = _tally(recent.week, model)
        before = _tally(recent.before, model)
        if min(week.n, before.n) >= LEAST_GROUPS:
            comparable[model] = week.n
    if not comparable:
        return None
    return max(comparable, key=lambda model: (comparable[model], model))


def _most_changed(week: Tally, before: Tally) -> str:
    """The class that adds most to chi-square."""
    names = {*week.classes, *before.classes}
    return max(names, key=lambda name: (chi_square_term(week, before, [name]), name))


def _shares(new: float, old: float) -> str:
    shares = f"{new:.0%} of the last 7 days, {old:.0%} of the 28 days before"
    return f"{shares}; that is more than chance"


def _tally(predicted: Sequence[RecentPrediction], model: str) -> Tally:
    """Counts the groups: one of several clips is an observation of these clips' shares."""
    own = [prediction for prediction in predicted if prediction.model == model]
    size = Counter(prediction.group for prediction in own)
    classes = defaultdict[str, float](float)
    for prediction in own:
        classes[prediction.class_name] += 1 / size[prediction.group]
    unsure = sum(prediction.unsure / size[prediction.group] for prediction in own)
    return Tally(len(size), unsure, classes)


def _sample(first: int, last: int) -> list[int]:
    """Ids from `first` to `last`: all of them, or one of each 2, 4, 8 and so on.

    The distance between them varies, since several cameras may take turns.
    """
    step = 1
    while (last - first) // step >= SAMPLE_SIZE - 1:
        step *= 2
    blocks = range(first // step, last // step + 1)
    return [block * step + crc32(b"%d" % block) % step for block in blocks]

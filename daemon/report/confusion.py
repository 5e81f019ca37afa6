"""Which classes a model takes for which, by the labels of people. Only reads.

By the random share alone, this is true of all videos. What people label beside it is what they
came upon, or what the model was unsure of: it is counted apart.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, not_, select

from daemon.database.expressions import as_now, that_counts
from daemon.database.tables import models, predictions, videos
from daemon.labels.queries import blind_ids, came_labelled, newest
from daemon.report.accuracy import reviewed_clips
from daemon.report.statistics import wilson

MOST_CLASSES = 30  # of a table
HISTOGRAM = 20  # bins
MOST_RECENT = 100_000  # predictions of a histogram


@dataclass(frozen=True)
class Share:
    """A part of some clips."""

    right: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        return wilson(self.right, self.n)


@dataclass(frozen=True)
class Confusion:
    """How many clips have each label and each prediction."""

    counts: dict[tuple[str, str], int]
    """By the label and the predicted class."""

    @property
    def n(self) -> int:
        """How many clips there are."""
        return sum(self.counts.values())

    @property
    def classes(self) -> list[str]:
        """The classes, those with most clips first, at most `MOST_CLASSES`."""
        n = Counter[str]()
        for (label, predicted), count in self.counts.items():
            n[label] += count
            n[predicted] += 0 if predicted == label else count
        return sorted(n, key=lambda name: (-n[name], name))[:MOST_CLASSES]

    def recall(self, name: str) -> Share:
        """Of the clips of a class, those that were predicted as it."""
        of_class = [count for (label, _), count in self.counts.items() if label == name]
        return Share(self.counts.get((name, name), 0), sum(of_class))

    def precision(self, name: str) -> Share:
        """Of the clips that were predicted as a class, those that are of it."""
        as_class = [count for (_, predicted), count in self.counts.items() if predicted == name]
        return Share(self.counts.get((name, name), 0), sum(as_class))


def of_random_share(connection: Connection, model: str) -> Confusion:
    """By the reviewed clips of the random share that a model predicted."""
    found = reviewed_clips().where(models.c.name == model).subquery()
    query = select(found.c.label, found.c.predicted, func.count().label("n"))
    query = query.where(found.c.verdict == "labelled").group_by(found.c.label, found.c.predicted)
    return _confusion(connection, query)


def of_other_labels(connection: Connection, model: str) -> Confusion:
    """By all other clips that a model predicted and that were labelled afterwards."""
    label = newest().subquery()
    predicted = as_now(predictions.c["class"]).label("predicted")
    query = select(label.c["class"].label("label"), predicted, func.count().label("n"))
    query = query.select_from(label).join(videos, videos.c.id == label.c.video_id)
    query = query.join(predictions, predictions.c.video_id == videos.c.id).join(models)
    is_other = not_(videos.c.sampled), not_(came_labelled(videos.c.id))
    query = query.where(that_counts(), models.c.name == model, *is_other)
    query = query.where(label.c.verdict == "labelled")
    return _confusion(connection, query.group_by(label.c["class"], "predicted"))


def histogram(connection: Connection, model: str) -> list[int]:
    """How many of a model's newest predictions have which probability, in bins from 0 to 1.

    Without clips of the random share that await their review: a bin of one clip would tell.
    """
    newest_id = connection.scalar(select(func.max(predictions.c.id))) or 0
    is_recent = predictions.c.id > newest_id - MOST_RECENT
    query = (
        select(predictions.c.probability)
        .join(models)
        .where(is_recent, that_counts(), models.c.name == model)
        .where(predictions.c.video_id.not_in(blind_ids()))
    )
    bins = Counter[int]()
    for (probability,) in connection.execute(query):
        bins[min(int(probability * HISTOGRAM), HISTOGRAM - 1)] += 1
    return [bins[place] for place in range(HISTOGRAM)]


def _confusion(connection: Connection, query: Select[Any]) -> Confusion:
    rows = connection.execute(query)
    return Confusion({(row.label, row.predicted): row.n for row in rows})

"""How many new labels there are, and whether they start the next training. Only reads."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from daemon.database.expressions import is_for_champion
from daemon.database.tables import labels, trainings, videos
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.labels.classes import classes_of_videos
from daemon.labels.enough import LEAST_CLASSES, what_is_missing
from daemon.labels.labels import newest_label
from daemon.labels.parts import (
    labels_of_parts,
    new_parts_since,
    newest_part_label,
    parts_taken_back_since,
)
from daemon.labels.queries import new_since, newest, taken_back_since
from daemon.training.decisions import Decisions
from daemon.training.holdout import count_training_clips, ever_labelled
from daemon.training.records import NO_TAKEOVER, KnownLabels, newest_decision
from learner.catalogue import starter_classes
from learner.errors import VidwatchError
from learner.texts import counted

LEAST_NEW = 3  # new labels, for another training of few
# Of more labels than these, it is enough to know that there are so many of each class.
MANY_LABELS = 10_000
LABELS_OF_CLASS = 1000
CLIPS_OF_CLASS = 100
UNREAD = ("waiting", "queued", "claimed")  # states of videos that wait for their prediction
# What made a training fail may pass, as a lack of memory does: it is tried again after this time.
# If it fails so many times with the same labels, it waits for another label.
RETRY_AFTER = timedelta(minutes=10)
TRIES = 2


@dataclass(frozen=True)
class Known:
    """What the models know already."""

    champion: Mapping[str, Any] = field(default_factory=dict)
    """The manifest of the champion; empty before the first start."""
    trained: Mapping[str, Any] = field(default_factory=dict)
    """The manifest of the model that was trained last; empty if there is none."""
    asked: int | None = None
    """How many more labels its comparison asked for; None if it asked for none."""

    @property
    def classes(self) -> set[str]:
        """The champion's classes."""
        return set(self.champion.get("classes", ()))


@dataclass(frozen=True)
class Forecast:
    """How near the next training is."""

    new: int
    """How many new labels count: those of classes that have enough clips or are known."""
    needed: int
    """How many new labels start a training: `min_new_labels`, or fewer if few were known, or if
    the last comparison asked for fewer.
    """
    short: dict[str, str]
    """What is missing of each class that has too few clips."""
    enough: tuple[str, ...] = ()
    """The classes that a training would learn now."""
    at_least: bool = False
    """Whether there may be more new labels than `new`: not all were counted."""
    removed: int = 0
    """How many labels were taken back since the last training."""
    why: str = ""
    """Why the labels ask for a training, for people; empty if they do not."""
    failed: int = 0
    """How many trainings with these labels failed."""
    unread: int = 0
    """How many labelled clips have no prediction yet. They may be what classes lack."""
    in_training: str | None = None
    """The model that is being trained, or will be next; None if none is."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to train, at the latest `RETRY_AFTER` after one that failed."""
        return bool(self.why) and self.failed < TRIES


def forecast(engine: Engine, home: Home, settings: Settings) -> Forecast:
    """How near the next training is."""
    decisions = Decisions(engine)
    champion = decisions.champion()
    trained = decisions.newest_trained()
    last = decisions.last_labels()
    with engine.begin() as connection:
        known = Known(
            champion=home.manifest(champion) if champion else {},
            trained=_manifest_if_there(home, trained),
            asked=_asked_labels(connection, trained) if trained else None,
        )
        return count_new_labels(connection, settings, last, known)


def newest_labels(connection: Connection) -> KnownLabels:
    """The newest labels of all, also those that take others back."""
    return KnownLabels(newest_label(connection), newest_part_label(connection))


def last_read_labels(connection: Connection) -> KnownLabels:
    """As `newest_labels`, but of videos, only those before the first of a video that is unread.

    A video of which a part has a label was read before.
    """
    unread = select(labels.c.id).join(videos).where(videos.c.state.in_(UNREAD))
    first = connection.scalar(unread.order_by(labels.c.id).limit(1))
    newest = newest_labels(connection)
    return newest if first is None else replace(newest, label=min(newest.label, first - 1))


def _asked_labels(connection: Connection, challenger: str) -> int | None:
    row = connection.execute(newest_decision(challenger)).first()
    if row is None or row.verdict not in NO_TAKEOVER:
        return None
    more = row.figures.get("missing", {}).get("clips") or sum(row.figures.get("label", {}).values())
    return more or None


def _manifest_if_there(home: Home, name: str | None) -> dict[str, Any]:
    try:
        return home.manifest(name) if name else {}
    except VidwatchError:
        return {}


def count_new_labels(
    connection: Connection, settings: Settings, last: KnownLabels, known: Known
) -> Forecast:
    """Count the new labels, and say whether it is time to train.

    It is time if a class has become learnable that the last training does not know, if a class lost
    all its labels, or if there are enough new labels, those that were taken back included:
    `min_new_labels`, half as many as the last training knew, or as many as the last comparison
    asked for, whichever is fewest.

    Args:
        connection: To the database.
        settings: Say how many labels and clips are enough.
        last: The newest labels that a training knew which made a model.
        known: For the champion's classes, any number of clips is enough.
    """
    short = {}
    learnable = set[str]()
    is_many = newest_label(connection) > MANY_LABELS
    most = max(CLIPS_OF_CLASS, 2 * settings.min_class_clips) if is_many else None
    for name, clips, groups in count_training_clips(connection, settings.min_class_clips, most):
        missing = what_is_missing(clips, groups, settings.min_class_clips)
        if missing and name not in known.classes:
            short[name] = missing
        else:
            learnable.add(name)
    new, most_new = _new(connection, last, settings.min_new_labels)
    counts = [n for name, n in new.items() if name not in short]
    n_new = sum(counts)
    at_least = most_new is not None and max(counts, default=0) >= most_new
    removed = connection.scalar(taken_back_since(last.label)) or 0
    removed += connection.scalar(parts_taken_back_since(last.part)) or 0
    labelled = learnable | set(short)
    enough = learnable | _kept(known, labelled)
    needed = _needed(connection, settings, last)
    if known.asked is not None:
        needed = min(needed, max(LEAST_NEW, known.asked))
    # A class that only the champion knows lost its labels before the last training, and has them
    # again.
    before = set(known.trained.get("classes", known.classes))
    begun = sorted(name for name in learnable - before if new.get(name))
    gone = sorted(_lost(connection, known, labelled)) if removed else []
    why = ""
    if len(enough) >= LEAST_CLASSES:
        if n_new + removed >= needed:
            why = _news(n_new, removed, at_least=at_least)
        elif begun:
            why = f"enough labels of {', '.join(begun)}"
        elif gone:
            why = f"no labels of {', '.join(gone)} any more"
    return Forecast(
        new=n_new,
        needed=needed,
        short=short,
        enough=tuple(sorted(enough)),
        at_least=at_least,
        removed=removed,
        why=why,
        failed=_count_failed(connection),
        unread=_count_unread(connection),
        in_training=_in_training(connection),
    )


def _new(connection: Connection, last: KnownLabels, least: int) -> tuple[Counter[str], int | None]:
    """How many new labels each class has, of videos and of parts.

    Of many labels, so many of each class are counted at most as the second number says: at least
    `least`. It is None if all were counted.
    """
    new = Counter[str]()
    queries = [new_since(last.label)]
    most = None
    if newest_label(connection) - last.label > MANY_LABELS:
        most = max(LABELS_OF_CLASS, least)
        names = classes_of_videos(connection)
        queries = [new_since(last.label, name, most) for name in names]
    for query in (*queries, new_parts_since(last.part)):
        for row in connection.execute(query):
            new[row.name] += row.n
    return new, most


def _count_unread(connection: Connection) -> int:
    unread = select(labels.c.video_id).join(videos).where(videos.c.state.in_(UNREAD)).distinct()
    return connection.scalar(select(func.count()).select_from(unread.subquery())) or 0


def _in_training(connection: Connection) -> str | None:
    begun_first = trainings.c.state == "asked", trainings.c.id
    unfinished = trainings.c.state.in_(("asked", "training"))
    query = select(trainings.c.name).where(unfinished).order_by(*begun_first)
    name: str | None = connection.scalar(query.limit(1))
    return name


def _count_failed(connection: Connection) -> int:
    """How many trainings failed that knew all labels of today, since one made a model."""
    trained = select(func.max(trainings.c.id)).where(trainings.c.state == "trained")
    has_been_read = videos.c.state.not_in(UNREAD)
    newest_read = select(func.max(labels.c.id)).join(videos).where(has_been_read)
    last = connection.scalar(trained) or 0
    newest_label = connection.scalar(newest_read) or 0
    failed = select(func.count()).select_from(trainings).where(trainings.c.state == "failed")
    knew_all = (
        trainings.c.last_label >= newest_label,
        trainings.c.last_part_label >= newest_part_label(connection),
    )
    failed = failed.where(trainings.c.id > last, *knew_all)
    return connection.scalar(failed) or 0


def _news(new: int, removed: int, *, at_least: bool) -> str:
    texts = [("at least " if at_least else "") + counted(new, "new label")] if new else []
    texts += [f"{counted(removed, 'label')} taken back"] if removed else []
    return ", ".join(texts)


def _needed(connection: Connection, settings: Settings, last: KnownLabels) -> int:
    """How many new labels start a training."""
    if last == KnownLabels():
        return settings.min_new_labels
    of_before = newest().where(
        labels.c.id <= last.label,
        labels.c.verdict == "labelled",
        is_for_champion(labels.c.video_id),
    )
    # More would make no difference.
    of_before = of_before.limit(2 * settings.min_new_labels)
    count = connection.scalar(select(func.count()).select_from(of_before.subquery())) or 0
    count += sum(one.id <= last.part for one in labels_of_parts(connection))
    return min(settings.min_new_labels, max(LEAST_NEW, ceil(count / 2)))


def _kept(known: Known, labelled: Collection[str]) -> set[str]:
    """The champion's classes that the next model learns, too.

    The starter's are dropped if no label is one of them.
    """
    starter = starter_classes()
    return known.classes - starter if starter.isdisjoint(labelled) else known.classes


def _lost(connection: Connection, known: Known, labelled: Collection[str]) -> set[str]:
    """The classes that a model learned from labelled clips that have no label any more.

    By the model that was trained last: it lacks what was lost before.
    """
    model = known.trained or known.champion
    contents: dict[str, set[str]] = {name: set() for name in model.get("classes", ())}
    for sha256, label, _ in model.get("trained_on", ()):
        if label in contents:
            contents[label].add(sha256)
    unlabelled = {name for name, clips in contents.items() if clips and name not in labelled}
    once_labelled = ever_labelled(connection) if unlabelled else set()
    return {name for name in unlabelled if contents[name] <= once_labelled}

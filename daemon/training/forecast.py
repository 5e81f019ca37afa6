"""How many new labels there are, and how many start the next training. Only reads."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from daemon.home.settings import Settings
from daemon.labels.classes import starter_classes
from daemon.labels.enough import what_is_missing
from daemon.labels.queries import new_since
from daemon.training.holdout import count_training_clips

LEAST_CLASSES = 2  # fewer cannot be told apart


@dataclass(frozen=True)
class Forecast:
    """How near the next training is."""

    new: int
    """How many new labels count: those of classes that have enough clips or are known."""
    needed: int
    """How many new labels start a training: the setting `min_new_labels`."""
    short: dict[str, str]
    """What is missing of each class that has too few clips."""
    enough: tuple[str, ...] = ()
    """The classes that a training would learn now."""
    first: bool = False
    """Whether it would be the first one of classes of one's own: it waits for no more labels."""
    removed: int = 0
    """How many labels were taken back since the last training."""
    why: str = ""
    """Why a training is due, for people; empty if none is."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to train."""
        return bool(self.why)


def count_new_labels(
    connection: Connection, settings: Settings, last_label: int, known_classes: Collection[str]
) -> Forecast:
    """Count the new labels.

    Args:
        connection: To the database.
        settings: Say how many labels and clips are enough.
        last_label: The newest label that a training knew.
        known_classes: The classes of the champion: for these, any number of clips is enough.
    """
    short = {}
    enough = set[str]()
    for name, clips, groups in count_training_clips(connection):
        missing = what_is_missing(clips, groups, settings.min_class_clips)
        if missing and name not in known_classes:
            short[name] = missing
        else:
            enough.add(name)
    new = connection.execute(new_since(last_label)).all()
    counted = sum(row.n for row in new if row.name not in short)
    is_starter = set(known_classes) == starter_classes()
    if not is_starter or not starter_classes().isdisjoint(enough | set(short)):
        enough |= set(known_classes)  # it learns what the champion learned from, too
    needed = settings.min_new_labels
    is_due = len(enough) >= LEAST_CLASSES and counted >= needed
    why = f"{counted} new labels" if is_due else ""
    return Forecast(counted, needed, short, tuple(sorted(enough)), why=why)

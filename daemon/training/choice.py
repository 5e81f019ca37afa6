"""Which classes and clips a challenger learns. Opens no clip and loads no model.

So a training that cannot be made is refused at once, before a process starts for it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.labels.enough import LEAST_CLASSES, what_is_missing
from daemon.training.job import Job
from learner.catalogue import starter_classes, starter_contents
from learner.errors import VidwatchError


@dataclass(frozen=True)
class Choice:
    """What a challenger learns."""

    classes: frozenset[str]
    rehearsed: frozenset[str]
    """SHA-256 of the clips that the champion had learned from and that it learns, too."""


def choose(job: Job, champion: Mapping[str, Any], stored: Collection[str] | None = None) -> Choice:
    """Choose the classes that have enough clips, among the labelled clips and the champion's own.

    The champion's clips are learned again, so that they are not forgotten. A class is dropped if
    people gave other labels to all clips that the champion learned it from, or took these labels
    back. The starter's classes are dropped, by each training, if no label is one of them: the
    person has clips of something else.

    Args:
        job: Has the labelled clips.
        champion: The manifest of the champion.
        stored: SHA-256 of the champion's clips that the challenger can learn from; None for all.

    Raises:
        VidwatchError: a class that the champion knows would be lost, or fewer than two classes have
            enough clips.
    """
    labelled = (*job.training, *job.holdout)
    relabelled = {clip.sha256 for clip in labelled} | set(job.forgotten)
    if starter_classes().isdisjoint(clip.label for clip in labelled):
        relabelled |= starter_contents()
    known = set(champion["classes"])
    # Classes that an earlier model knew, and the champion does not, stay forgotten.
    kept = [
        (sha256, label, group)
        for sha256, label, group in champion["trained_on"]
        if label in known and sha256 not in relabelled
    ]
    rehearsed = [clip for clip in kept if stored is None or clip[0] in stored]
    required = {label for _, label, _ in kept}
    of_labels = [(clip.sha256, clip.label, clip.group) for clip in job.training]
    missing = _missing((*of_labels, *rehearsed), required, job.min_class_clips)
    if lost := required - {name for name, lack in missing.items() if lack is None}:
        raise VidwatchError(_lost(lost, job))
    enough = frozenset(name for name, lack in missing.items() if lack is None)
    if len(enough) < LEAST_CLASSES:
        raise VidwatchError(_too_few(missing, job.min_class_clips))
    return Choice(enough, frozenset(sha256 for sha256, _, _ in rehearsed))


def _missing(
    clips: Iterable[tuple[str, str, str]], required: Collection[str], min_clips: int
) -> dict[str, str | None]:
    """What each class lacks: any number of clips is enough for those that are required."""
    groups_of: dict[str, list[str]] = defaultdict(list)
    for _, label, group in clips:
        groups_of[label].append(group)
    return {
        name: what_is_missing(len(groups), len(set(groups)), 0 if name in required else min_clips)
        for name, groups in sorted(groups_of.items())
    }


def _lost(names: Collection[str], job: Job) -> str:
    """Why classes would be lost, and what to do."""
    hint = f"label {job.min_class_clips} clips of two recordings of each, or go on without them: "
    hint += "'vidwatch models promote starter', then 'vidwatch retrain'"
    return (
        f"the champion knows {', '.join(sorted(names))}, but of the clips that it learned these "
        f"classes from, too few are stored for 'retrain' to learn from ({job.recipe}); {hint}"
    )


def _too_few(missing: Mapping[str, str | None], min_clips: int) -> str:
    """Why there are fewer than two classes, and what to do."""
    reason = f"fewer than two classes have {min_clips} labelled clips of two recordings"
    lacks = [f"{name}: {lack}" for name, lack in missing.items() if lack is not None]
    if len(missing) < LEAST_CLASSES:
        lacks.append("label clips of a second class")
    return f"{reason} (min_class_clips); {'; '.join(lacks)}"

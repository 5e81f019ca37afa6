"""What the process that trains has to do. The daemon writes it as JSON, the process reads it."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from learner.errors import VidwatchError
from learner.groups import is_guessed

if TYPE_CHECKING:
    from daemon.training.holdout import LabelledVideo


@dataclass(frozen=True)
class LabelledFile:
    """A clip with its newest label."""

    path: str
    """Where it was when the job began, as `os.fsdecode` gives it."""
    label: str
    group: str
    sha256: str
    biased: bool
    """Whether it may have been labelled because of its prediction, as in `LabelledVideo`."""
    guessed: bool = False
    """Nobody named its group: it was guessed, as `learner.groups.find_groups` does."""
    part: tuple[float, float] | None = None
    """If it is a part of a video: when it begins and ends, in seconds."""


@dataclass(frozen=True)
class Job:
    """Train a challenger, unless it is trained already, and compare it with the champion."""

    challenger: str
    """The path of the model, which the training writes."""
    champion: str
    """The path of the model."""
    is_trained: bool
    recipe: str
    """The setting `retrain`: the name of a recipe, or "head"."""
    device: str
    memory: float
    """The share of a GPU's memory that the process may use."""
    cache: int
    """How many bytes the cache may grow to."""
    min_class_clips: int
    training: tuple[LabelledFile, ...]
    holdout: tuple[LabelledFile, ...]
    forgotten: tuple[str, ...]
    """SHA-256 of content that had a label once, and has none now."""
    comparison: int
    """The number of this comparison, of those with the same champion, from 1."""
    rule: Mapping[str, float]
    """Settings of `learner.promotion.Rule`, by name."""
    exact: bool = False
    """Whether frames are read exactly, as in `ReadOptions`."""
    optimistic: str | None = None
    """Why figures by the groups of the clips are optimistic; None if they are not."""

    def to_json(self) -> str:
        """One object. Names of files that are not UTF-8 are kept."""
        return json.dumps(vars(self), default=vars)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The job. It is not read by pydantic, which refuses names of files that are not UTF-8."""
        fields = json.loads(text)
        for side in ("training", "holdout"):
            fields[side] = tuple(
                LabelledFile(**{**clip, "part": clip.get("part") and tuple(clip["part"])})
                for clip in fields[side]
            )
        fields["forgotten"] = tuple(fields["forgotten"])
        return cls(**fields)


def labelled_files(clips: "Sequence[LabelledVideo]") -> tuple[LabelledFile, ...]:
    """Labelled videos, as the process that trains reads them.

    Parts whose video is gone are left out: people remove long recordings. A model that learned from
    them learns them again by their features, which are stored.
    """
    return tuple(
        LabelledFile(
            path=os.fsdecode(clip.path),
            label=clip.class_name,
            group=clip.group,
            sha256=clip.sha256,
            biased=clip.biased,
            guessed=is_guessed(clip.group),
            part=clip.part,
        )
        for clip in clips
        if clip.part is None or Path(os.fsdecode(clip.path)).exists()
    )


def can_judge(class_name: str, known_classes: Collection[str], *, biased: bool) -> bool:
    """Whether a holdout clip can judge a challenger: a biased one cannot for a known class.

    Args:
        class_name: Of the clip's label.
        known_classes: The classes of the champion.
        biased: Whether the clip was labelled because of its prediction.
    """
    return not biased or class_name not in known_classes


def require_recipe(name: str) -> None:
    """Check that the setting `retrain` names a recipe.

    Raises:
        VidwatchError: it does not, or the recipe cannot be read.
    """
    from learner.recipe import HEAD, load

    if name == HEAD:
        return
    try:
        load(name)
    except VidwatchError as error:
        raise VidwatchError(f"setting 'retrain' is {name!r}: {error}") from error

"""What judges a challenger: clips with both models' predictions, counted; and the rule.

Statistics alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Outcome = Literal["promoted", "refused", "undecided"]
Counts = dict[str, int]


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show; all are shares of 1."""

    margin: float = 0.1
    """Of clips of classes that both know, how many more it may at most get wrong.

    A larger loss must be ruled out with statistical significance. As counted, the loss may be at
    most a quarter of that.
    """
    gain: float = 0.05
    """Of the same clips, how many more right ones are worth waiting for."""
    class_loss: float = 0.2
    """Of one class's clips, how many it may at most lose."""
    new_class_recall: float = 0.7
    """Of a new class's clips, how many it has to recognise."""
    odds: float = 0.05
    """The highest probability that a champion is ever replaced by a model worse by the margin."""


@dataclass(frozen=True)
class Evidence:
    """One clip that judges: its label, its group, and the classes that both models predict."""

    label: str
    group: str
    champion: str
    challenger: str
    biased: bool = False
    """It was labelled because of the champion's prediction, as a correction is.

    People choose such clips because the champion is wrong on them. So they cannot judge the classes
    that the champion knows. If the champion does not know the class, all clips of the class are its
    errors: the choice leaves none out, and does not depend on the challenger. So these clips count.
    """
    guessed: bool = False
    """Nobody named its group: it was guessed, as `learner.groups.find_groups` does."""

    def outcome(self) -> tuple[str, bool, bool]:
        """Its group, and whether each of the two is right."""
        return self.group, self.champion == self.label, self.challenger == self.label


class NextStep(NamedTuple):
    """What a person can do so that a challenger takes over."""

    text: str
    """One or two sentences; empty if there is nothing to do."""
    label: dict[str, int]
    """How many more clips to label, by class."""


def by_class(clips: Iterable[Evidence], names: Collection[str]) -> dict[str, Counts]:
    """The counts of each of these classes."""
    found: dict[str, list[Evidence]] = {name: [] for name in sorted(names)}
    for clip in clips:
        if clip.label in found:
            found[clip.label].append(clip)
    return {name: count(clips) for name, clips in found.items()}


def count(clips: Collection[Evidence]) -> Counts:
    """How many clips and groups there are, and how many clips each model predicts right."""
    right = {
        model: sum(getattr(clip, model) == clip.label for clip in clips)
        for model in ("champion", "challenger")
    }
    return {"n": len(clips), "groups": len({clip.group for clip in clips}), **right}


def fallen(classes: Mapping[str, Counts], rule: Rule) -> list[str]:
    """The classes that fall apart: the challenger loses too many clips. The worst first."""
    lost = {name: of["champion"] - of["challenger"] for name, of in classes.items()}
    found = [name for name in lost if lost[name] > max(1, rule.class_loss * classes[name]["n"])]
    return sorted(found, key=lambda name: (-lost[name], name))


def basis(n: int, crossed: int) -> str:
    """What judges: `n` clips, of which `crossed` do so by cross-validation."""
    if not crossed:
        return "holdout"
    return "cross-validation" if crossed == n else "holdout and cross-validation"

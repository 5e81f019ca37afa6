"""One comparison of a challenger with the champion: its counts, its outcome, and its words.

How the level of each comparison is chosen stands in `learner.promotion`.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean
from typing import Any, Literal

from learner.paired import Paired

Outcome = Literal["promoted", "refused", "undecided"]
Counts = dict[str, int]

NEW_CLASS_CLIPS = 5
MOST_CLIPS = 10_000_000
NAMED = 3  # so many of the classes with the fewest clips


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
    """One holdout clip: its label, its group, and the classes that both models predict."""

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

    def outcome(self) -> tuple[str, bool, bool]:
        """Its group, and whether each of the two is right."""
        return self.group, self.champion == self.label, self.challenger == self.label


@dataclass(frozen=True)
class Trial:
    """One comparison: the counts, the outcome, and its words."""

    total: Counts
    """Of the clips of the shared classes that are not biased."""
    paired: Paired
    """Of the same clips."""
    known: dict[str, Counts]
    """All of the champion's classes."""
    shared: dict[str, Counts]
    """The classes that both know."""
    new: dict[str, Counts]
    """The classes that only the challenger knows."""
    groups: int
    """Of a new class, clips of so many groups are needed."""
    z: float
    """How many standard errors the level of this comparison corresponds to.

    A difference counts as shown if it is more than `z` standard errors away. The stricter the
    level, the larger is `z`.
    """
    rule: Rule

    @cached_property
    def fallen(self) -> list[str]:
        """The champion's classes that fall apart, the worst first.

        Also those that the challenger does not know.
        """
        lost = {name: of["champion"] - of["challenger"] for name, of in self.known.items()}
        fallen = [
            name
            for name in lost
            if lost[name] > max(1, self.rule.class_loss * self.known[name]["n"])
        ]
        return sorted(fallen, key=lambda name: (-lost[name], name))

    @cached_property
    def waiting(self) -> dict[str, int]:
        """The new classes that cannot be judged yet, and how many clips they lack.

        One, if all that they lack is another group.
        """
        lacks = {
            name: max(NEW_CLASS_CLIPS - of["n"], self.groups - of["groups"], 0)
            for name, of in self.new.items()
        }
        return {name: lack for name, lack in lacks.items() if lack}

    @cached_property
    def recognised(self) -> list[str]:
        """The new classes that the challenger recognises.

        If no class is shared, nothing else would find a model that predicts one class for all
        clips. Then the mean over the new classes has to be as high, and there must be two of them.
        """
        recalls = {
            name: of["challenger"] / of["n"]
            for name, of in self.new.items()
            if name not in self.waiting
        }
        if not self.shared and (
            len(recalls) < 2 or fmean(recalls.values()) < self.rule.new_class_recall
        ):
            return []
        return [name for name, recall in recalls.items() if recall >= self.rule.new_class_recall]

    @cached_property
    def outcome(self) -> Outcome:
        """What follows from the counts."""
        if self.fallen:
            return "refused"
        if not self.shared:
            if self.recognised:
                return "promoted"
            return "undecided" if self.waiting else "refused"
        return self.compare(self.paired, gains_class=bool(self.recognised))

    def compare(self, paired: Paired, *, gains_class: bool) -> Outcome:
        """The outcome on the shared classes.

        A wrong refusal costs one challenger only. So refusals are held to the odds themselves in
        each comparison.
        """
        loses = self._loses(paired)
        is_within_margin = paired.z(-self.rule.margin) > self.z
        is_better = paired.z(0) > self.z
        if is_within_margin and (is_better or (gains_class and not loses)):
            return "promoted"
        shown = -quantile(self.rule.odds)
        is_worse = loses and paired.z(0) < shown
        has_no_gain = paired.difference <= 0 and paired.z(self.rule.gain) < shown
        is_useless = has_no_gain and not (gains_class or self.waiting)
        return "refused" if is_worse or is_useless else "undecided"

    def _loses(self, paired: Paired) -> bool:
        """Whether it is worse as counted.

        Else, with many clips, even a real loss would be shown to be within the margin.
        """
        return paired.difference < -self.rule.margin / 4

    @cached_property
    def missing(self) -> int:
        """How many more clips of the shared classes are needed, if they are like the others."""
        if not self.shared or self.outcome != "undecided":
            return 0

        def is_decided(more: int) -> bool:
            paired = self.paired.among(self.total["n"] + more)
            return (
                self.compare(paired, gains_class=bool(self.recognised or self.waiting))
                != "undecided"
            )

        return bisect_left(range(MOST_CLIPS), True, key=is_decided)

    @property
    def fewest(self) -> list[str]:
        """The shared classes that have the fewest clips."""
        return sorted(self.shared, key=lambda name: (self.shared[name]["n"], name))[:NAMED]

    def figures(self) -> dict[str, Any]:
        """Counts, accuracies, their difference and its bounds."""
        n = self.total["n"]
        paired = self.paired
        return {
            "n": n,
            "groups": self.total["groups"],
            "champion": self.total["champion"] / n if n else None,
            "challenger": self.total["challenger"] / n if n else None,
            "difference": paired.difference if n else None,
            "lower": paired.lower(self.z),
            "upper": paired.upper(self.z),
            "gains": paired.gains,
            "losses": paired.losses,
            "design_effect": paired.design_effect,
            "classes": self.known,
            "new_classes": {
                name: {**counts, "told": name in self.recognised}
                for name, counts in self.new.items()
            },
            "missing": {
                "clips": self.missing,
                "above_all": self.fewest,
                "new_classes": self.waiting,
            },
        }

    def reason(self) -> str:
        """The outcome, for a person who is no statistician."""
        if self.fallen:
            first, *others = self.fallen
            more = f" ({len(others)} more classes do, too)" if others else ""
            return f"Class {first} falls apart: {_score(self.known[first])}{more}."
        sentences = ["The two models have no class in common."]
        if self.shared:
            sentences = self._of_shared()
        new = [
            f"{name} {of['challenger']} of {of['n']} clips{self._lack(name)}"
            for name, of in self.new.items()
        ]
        if new:
            least = f"{self.rule.new_class_recall:.0%}"
            sentences.append(
                f"New classes, of which {least} has to be recognised: {', '.join(new)}."
            )
        return " ".join(sentences)

    def _of_shared(self) -> list[str]:
        sentences = [f"On the classes that both know, {_score(self.total)}: {self._conclusion()}."]
        if self.missing:
            classes = ", ".join(self.fewest)
            sentences.append(
                f"About {self.missing:,} more are needed, above all of {classes}; "
                "corrections do not count."
            )
        return sentences

    def _conclusion(self) -> str:
        if self.outcome == "refused":
            if self.paired.z(0) < -quantile(self.rule.odds):
                return "it is worse, beyond chance"
            return f"no gain, and one of {100 * self.rule.gain:g} points would have shown"
        if self.paired.z(-self.rule.margin) <= self.z:
            return "too few to say"
        points = f"{100 * self.rule.margin:g} points"
        is_better = self.paired.z(0) > self.z
        words = "it is better" if is_better else f"it is not worse by {points}"
        words += ", beyond chance"
        if self._loses(self.paired):
            words += ", but worse as counted"
        if self.missing:
            words += "; whether it is better is open"
        return words

    def _lack(self, name: str) -> str:
        if name not in self.waiting:
            return ""
        is_one_group = self.new[name]["groups"] < self.groups
        other = ", of another group" if is_one_group else ""
        return f" ({self.waiting[name]} more needed{other})"


def _score(counts: Counts) -> str:
    return (
        f"of {counts['n']} holdout clips the champion predicts {counts['champion']} right, "
        f"the challenger {counts['challenger']}"
    )


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


def quantile(level: float) -> float:
    """How many standard errors `level` corresponds to.

    A normally distributed figure is above its mean by more than so many with the probability
    `level`: 1.64 for 5 %.
    """
    return -NormalDist().inv_cdf(level)

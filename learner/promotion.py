"""Whether a challenger replaces the champion, by both models' predictions for the holdout clips.

Knows no file and no database.

The holdout is used again and again. If twenty challengers are worse, and each is tried at odds of
1 in 20, one of them is likely to pass. So the k-th comparison with a champion is held to the level
odds * 6 / (pi^2 k^2). The levels of all comparisons add up to `odds`, and the probability that any
of them goes wrong is at most that sum (Boole), however alike the challengers are and although the
clips are the same.

This needs challengers that do not depend on these clips. None depends on them: nothing trains on
the holdout, and all that a later challenger can know of it is that the earlier ones were not
promoted. That is true of every row of challengers until it ends; the whole row could be written
down beforehand.

Not promised: the odds count anew with each champion; each new class may cost up to the margin
again; a new class's recall is taken as it is; and a person who tunes the training by these figures
makes it depend on the clips. A champion that was lucky on the holdout is only harder to replace.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import pi
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
    """Of clips of classes that both know, how many more it may at most get wrong, beyond chance.

    As counted, it may be a quarter of that.
    """
    gain: float = 0.05
    """Of the same clips, how many more right ones are worth waiting for."""
    class_loss: float = 0.2
    """Of one class's clips, how many it may at most lose."""
    new_class_recall: float = 0.7
    """Of a new class's clips, how many it has to recognise."""
    odds: float = 0.05
    """The highest probability that a champion is ever replaced by a model worse by the margin."""


DEFAULT = Rule()


@dataclass(frozen=True)
class Evidence:
    """One holdout clip: its label, its group, and the classes that both models predict."""

    label: str
    group: str
    champion: str
    challenger: str
    picked: bool = False
    """Labelled because of the champion's prediction, as a correction is.

    Among these clips the champion's errors are many by choice, so they cannot judge the classes
    that it knows. Of a class that it does not know, every clip is an error of the champion: there
    the choice leaves none out and depends on nothing of the challenger, so they count.
    """

    def outcome(self) -> tuple[str, bool, bool]:
        """Its group, and whether each of the two is right."""
        return self.group, self.champion == self.label, self.challenger == self.label


@dataclass(frozen=True)
class Verdict:
    """The outcome of a comparison."""

    verdict: Outcome
    reason: str
    """For a person."""
    figures: dict[str, Any]
    """The counts behind it, as JSON can hold them."""


def judge(
    evidence: Sequence[Evidence],
    champion_classes: Collection[str],
    challenger_classes: Collection[str],
    look: int,
    rule: Rule = DEFAULT,
) -> Verdict:
    """Decide by `rule`.

    Promoted: on classes that both know it is not worse by the margin, none of the champion's
    classes falls apart, and it is better or recognises a new class. Refused: a class falls apart;
    or it is worse by the margin; or there is no new class and no gain, and a gain worth having
    would have shown. Else undecided.

    Args:
        evidence: the holdout clips.
        champion_classes: the classes that the champion knows.
        challenger_classes: the classes that the challenger knows.
        look: counts the comparisons with this champion from 1, this one included.
        rule: what a challenger has to show.
    """
    unpicked = [clip for clip in evidence if not clip.picked]
    known = _by_class(unpicked, set(champion_classes))
    shared = {name: known[name] for name in known if name in set(challenger_classes)}
    judged = [clip for clip in unpicked if clip.label in shared]
    new = _by_class(evidence, set(challenger_classes) - set(champion_classes))
    groups = Counter(label for label, _ in {(clip.label, clip.group) for clip in evidence})
    level = rule.odds * 6 / (pi * look) ** 2
    needed = min(2, max(groups.values(), default=1))
    trial = _Trial(
        total=_count(judged),
        paired=Paired.of(clip.outcome() for clip in judged),
        known=known,
        shared=shared,
        new=new,
        groups=needed,
        z=_quantile(level),
        rule=rule,
    )
    picked = sum(clip.picked and clip.label in shared for clip in evidence)
    figures = {
        "look": look,
        "level": level,
        "picked": picked,
        **trial.figures(),
        "rule": asdict(rule),
    }
    return Verdict(trial.outcome, trial.reason(), figures)


@dataclass(frozen=True)
class _Trial:
    """One comparison: the counts, the outcome, and its words."""

    total: Counts
    """Of the unpicked clips of the shared classes."""
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
    """The standard errors of the level."""
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

        A wrong refusal costs one challenger only: it is held to the odds themselves at any look.
        """
        loses = self._loses(paired)
        is_within_margin = paired.z(-self.rule.margin) > self.z
        is_better = paired.z(0) > self.z
        if is_within_margin and (is_better or (gains_class and not loses)):
            return "promoted"
        shown = -_quantile(self.rule.odds)
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
            if self.paired.z(0) < -_quantile(self.rule.odds):
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


def _by_class(clips: Iterable[Evidence], names: Collection[str]) -> dict[str, Counts]:
    found: dict[str, list[Evidence]] = {name: [] for name in sorted(names)}
    for clip in clips:
        if clip.label in found:
            found[clip.label].append(clip)
    return {name: _count(clips) for name, clips in found.items()}


def _count(clips: Collection[Evidence]) -> Counts:
    right = {
        model: sum(getattr(clip, model) == clip.label for clip in clips)
        for model in ("champion", "challenger")
    }
    return {"n": len(clips), "groups": len({clip.group for clip in clips}), **right}


def _quantile(level: float) -> float:
    """How many standard errors away the tail of this probability begins."""
    return -NormalDist().inv_cdf(level)

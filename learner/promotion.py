"""Whether a challenger replaces the champion, by their answers on the same holdout clips. Knows no file, no database.

The holdout is used again and again. Of twenty challengers that are worse, each tried at odds of 1 in 20, one would be
likely to get through. So the k-th comparison with a champion is held to the level odds * 6 / (pi^2 k^2): the levels of
all comparisons add up to `odds`, and the probability that any of them goes wrong is at most that sum (Boole), however
alike the challengers are and although the clips are the same. It needs challengers that do not depend on these clips.
None does: nothing trains on the holdout, and all that a later one can know of it is that the earlier ones were not
promoted, which is true of every row of challengers until it ends; the whole row could be written down beforehand.

Not promised: the odds count anew with each champion, each new class may cost up to the margin again, a new class's
recall is taken as it is, and whoever tunes the training by these figures makes it depend on the clips. A champion that
was lucky on the holdout is only the harder to replace.
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
NAMED = 3  # of the classes with the fewest clips


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show; shares are of 1.

    `margin`: of the clips of classes that both know, how many more it may at most get wrong, as far as chance leaves it
    open, and a quarter of that as counted; `gain`: how many more
    right are worth waiting for; `class_loss`: of one class's clips, how many it may at most lose; `new_class_recall`:
    of a new class's clips, how many it has to tell; `odds`: the highest probability that a champion is ever replaced by
    a model that is worse by the margin.
    """

    margin: float = 0.1
    gain: float = 0.05
    class_loss: float = 0.2
    new_class_recall: float = 0.7
    odds: float = 0.05


DEFAULT = Rule()


@dataclass(frozen=True)
class Evidence:
    """One holdout clip: its label, its group, and what both models say.

    `picked`: labelled because of the champion's answer, as a correction is. Among those its errors are many by choice,
    so they cannot judge the classes that it knows. Of a class that it does not know every clip is its error: there the
    choice leaves none out and says nothing of the challenger, so they count.
    """

    label: str
    group: str
    champion: str
    challenger: str
    picked: bool = False

    def outcome(self) -> tuple[str, bool, bool]:
        """Its group, and whether each of the two is right."""
        return self.group, self.champion == self.label, self.challenger == self.label


@dataclass(frozen=True)
class Verdict:
    """`reason` is for a person; `figures`, which JSON can hold, are what it rests on."""

    verdict: Outcome
    reason: str
    figures: dict[str, Any]


def judge(
    evidence: Sequence[Evidence],
    champion_classes: Collection[str],
    challenger_classes: Collection[str],
    look: int,
    rule: Rule = DEFAULT,
) -> Verdict:
    """Decide by `rule`; `look` counts the comparisons with this champion from 1, this one included.

    Promoted: on classes that both know not worse by the margin, none of the champion's classes falls apart, and either
    better or able to tell a new class. Refused: a class falls apart; or it is worse by the margin; or no new class can
    be hoped for and nothing is gained, where a gain worth having would have shown. Else undecided.
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
        _count(judged),
        Paired.of(clip.outcome() for clip in judged),
        known,
        shared,
        new,
        needed,
        _quantile(level),
        rule,
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
    """One comparison: what was counted, what follows, and how it is said.

    `total` and `paired` are of the unpicked clips of the `shared` classes; `known` are all of the champion's classes,
    `new` those that only the challenger knows, of which clips of so many `groups` are needed.
    """

    total: Counts
    paired: Paired
    known: dict[str, Counts]
    shared: dict[str, Counts]
    new: dict[str, Counts]
    groups: int
    z: float
    rule: Rule

    @cached_property
    def fallen(self) -> list[str]:
        """The champion's classes that fall apart, also those that the challenger dropped; the worst comes first."""
        lost = {name: of["champion"] - of["challenger"] for name, of in self.known.items()}
        fallen = [
            name
            for name in lost
            if lost[name] > max(1, self.rule.class_loss * self.known[name]["n"])
        ]
        return sorted(fallen, key=lambda name: (-lost[name], name))

    @cached_property
    def waiting(self) -> dict[str, int]:
        """The new classes that cannot be judged yet, and how many clips they lack: one, if it is only a group."""
        lacks = {
            name: max(NEW_CLASS_CLIPS - of["n"], self.groups - of["groups"], 0)
            for name, of in self.new.items()
        }
        return {name: lack for name, lack in lacks.items() if lack}

    @cached_property
    def told(self) -> list[str]:
        """The new classes that the challenger tells.

        Where no class is shared, nothing else would catch a model that gives one answer to all: there the mean over
        the new classes, two at least, has to be as high.
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
        """What the counts come to."""
        if self.fallen:
            return "refused"
        if not self.shared:
            return "promoted" if self.told else "undecided" if self.waiting else "refused"
        return self.compare(self.paired, gains_class=bool(self.told))

    def compare(self, paired: Paired, *, gains_class: bool) -> Outcome:
        """On the shared classes. A wrong refusal costs one challenger: it is held to the odds at any look."""
        loses = self._loses(paired)
        if paired.z(-self.rule.margin) > self.z and (
            (gains_class and not loses) or paired.z(0) > self.z
        ):
            return "promoted"
        shown = -_quantile(self.rule.odds)
        worse = loses and paired.z(0) < shown
        idle = (
            paired.difference <= 0
            and paired.z(self.rule.gain) < shown
            and not (gains_class or self.waiting)
        )
        return "refused" if worse or idle else "undecided"

    def _loses(self, paired: Paired) -> bool:
        """Whether it is worse as counted: of many clips even a real loss would be shown to lie within the margin."""
        return paired.difference < -self.rule.margin / 4

    @cached_property
    def missing(self) -> int:
        """How many more clips of the shared classes decide, if they are like those that are there."""
        if not self.shared or self.outcome != "undecided":
            return 0

        def is_decided(more: int) -> bool:
            paired = self.paired.among(self.total["n"] + more)
            return self.compare(paired, gains_class=bool(self.told or self.waiting)) != "undecided"

        return bisect_left(range(MOST_CLIPS), True, key=is_decided)

    @property
    def fewest(self) -> list[str]:
        """The shared classes that have the fewest clips."""
        return sorted(self.shared, key=lambda name: (self.shared[name]["n"], name))[:NAMED]

    def figures(self) -> dict[str, Any]:
        """Counts, but for the accuracies, their difference and its bounds."""
        n, paired = self.total["n"], self.paired
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
                name: {**counts, "told": name in self.told} for name, counts in self.new.items()
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
            return (
                f"Class {first} falls apart: {_score(self.known[first])}"
                + f" (and so {len(others)} more)" * any(others)
                + "."
            )
        said = self._of_shared() if self.shared else ["The two models have no class in common."]
        new = [
            f"{name} {of['challenger']} of {of['n']} clips{self._lack(name)}"
            for name, of in self.new.items()
        ]
        if new:
            said.append(
                f"New classes, of which {self.rule.new_class_recall:.0%} has to be told: {', '.join(new)}."
            )
        return " ".join(said)

    def _of_shared(self) -> list[str]:
        points, so = f"{100 * self.rule.margin:g} points", "too few to say"
        if self.outcome == "refused":
            is_worse = self.paired.z(0) < -_quantile(self.rule.odds)
            so = "it is worse, beyond chance"
            if not is_worse:
                so = f"no gain, where one of {100 * self.rule.gain:g} points would have shown"
        elif self.paired.z(-self.rule.margin) > self.z:
            so = "it is better" if self.paired.z(0) > self.z else f"it is not worse by {points}"
            so += ", beyond chance" + ", but worse as counted" * self._loses(self.paired)
            so += "; whether it is better is open" * bool(self.missing)
        said = [f"On the classes that both know, {_score(self.total)}: {so}."]
        if self.missing:
            classes = ", ".join(self.fewest)
            said.append(
                f"About {self.missing:,} more are needed, above all of {classes}; corrections do not count."
            )
        return said

    def _lack(self, name: str) -> str:
        lack, group = self.waiting.get(name, 0), self.new[name]["groups"] < self.groups
        return f" ({lack} more needed{', of another group' * group})" if lack else ""


def _score(counts: Counts) -> str:
    told = f"the champion tells {counts['champion']}, the challenger {counts['challenger']}"
    return f"of {counts['n']} holdout clips {told}"


def _by_class(clips: Iterable[Evidence], names: Collection[str]) -> dict[str, Counts]:
    found: dict[str, list[Evidence]] = {name: [] for name in sorted(names)}
    for clip in clips:
        if clip.label in found:
            found[clip.label].append(clip)
    return {name: _count(clips) for name, clips in found.items()}


def _count(clips: Collection[Evidence]) -> Counts:
    told = {
        model: sum(getattr(clip, model) == clip.label for clip in clips)
        for model in ("champion", "challenger")
    }
    return {"n": len(clips), "groups": len({clip.group for clip in clips}), **told}


def _quantile(level: float) -> float:
    """How many standard errors out the tail of this probability begins."""
    return -NormalDist().inv_cdf(level)

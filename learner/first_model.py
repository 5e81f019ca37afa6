"""Compares a challenger with a champion that knows none of its classes.

So it is with the first model of one's own: the starter is right on none of the clips that a person
has labelled with classes of their own. The challenger has to be better than guessing.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from learner.evidence import Counts, Evidence, NextStep, Outcome, Rule, by_class, count, counted
from learner.exact import at_least
from learner.paired import Paired

MORE_CLIPS = 5
MOST_CLIPS = 100  # if more were needed, the number would say little
LEAST_GROUPS = 2
# Clips of one group are taken to be alike as far as they show it, which is the worst case if there
# are few. So, counted by groups, chance may be so many times as likely as the level says: one in
# ten at the first comparison. Six clips of two classes, of two groups each, are enough if all are
# right.
GROUPS_MAY = 3.3


@dataclass(frozen=True)
class FirstModel:
    """The comparison: its counts, its outcome, and its words."""

    clips: Sequence[Evidence]
    """All that judge: of the holdout, and by cross-validation."""
    crossed: int
    """How many of them judge by cross-validation."""
    new: dict[str, Counts]
    """The classes of the challenger."""
    level: float
    """How probable it may be that guessing does as well, in this comparison."""
    rule: Rule

    @cached_property
    def total(self) -> Counts:
        """All clips."""
        return count(self.clips)

    @cached_property
    def commonest(self) -> tuple[str, int]:
        """What guessing predicts: the class of most of the clips; and how many it has."""
        labels = Counter(clip.label for clip in self.clips)
        return max(sorted(labels.items()), key=lambda item: item[1], default=("", 0))

    @property
    def chance(self) -> float:
        """The accuracy of guessing."""
        return self.commonest[1] / max(1, self.total["n"])

    @cached_property
    def design_effect(self) -> float:
        """As of `Paired`, over the groups that somebody named.

        If no class has two groups, as with a single camera, groups show nothing: clips count.
        """
        if all(of["groups"] < LEAST_GROUPS for of in self.new.values()):
            return 1.0
        outcomes = [
            (f"clip {number}" if clip.guessed else f"group {clip.group}", False, is_right)
            for number, clip in enumerate(self.clips)
            for _, _, is_right in [clip.outcome()]
        ]
        return Paired.of(outcomes).design_effect

    def _probability(self, right: float, n: float, effect: float = 1) -> float:
        """How probable it is that guessing has so many right."""
        return at_least(right / effect, n / effect, self.chance)

    @cached_property
    def p(self) -> float:
        """How probable it is that guessing does as well, if each clip counts."""
        return self._probability(self.total["challenger"], self.total["n"])

    @cached_property
    def p_groups(self) -> float:
        """The same, if clips of one group count less."""
        return self._probability(self.total["challenger"], self.total["n"], self.design_effect)

    @cached_property
    def is_shown(self) -> bool:
        """Whether it is better than guessing and than the champion, beyond chance."""
        is_better = self.total["challenger"] > self.total["champion"]
        by_groups = self.p_groups <= GROUPS_MAY * self.level
        return is_better and self.p <= self.level and by_groups

    @cached_property
    def outcome(self) -> Outcome:
        """What follows from the counts."""
        if self.is_shown:
            return "promoted"
        least = max(self.commonest[1], self.total["champion"])
        is_useless = self.total["challenger"] <= least
        # Of clips of a single class, guessing is right on all.
        is_judged = self.commonest[1] < self.total["n"]
        return "refused" if is_useless and is_judged else "undecided"

    @cached_property
    def missing(self) -> int:
        """How many more clips are needed, if it is right as often on these."""
        if self.outcome != "undecided":
            return 0
        n = max(1, self.total["n"])
        share = self.total["challenger"] / n if self.clips else 1.0
        chance = self.chance if 0 < self.chance < 1 else 0.5

        def is_decided(more: int) -> bool:
            of = self.total["n"] + more
            whole = at_least(int(share * of), of, chance)
            effect = self.design_effect
            by_groups = at_least(share * of / effect, of / effect, chance)
            return whole <= self.level and by_groups <= GROUPS_MAY * self.level

        return max(1, bisect_left(range(MOST_CLIPS), True, key=is_decided))

    @cached_property
    def weakest(self) -> str | None:
        """The class that is recognised worst; None if all clips are right."""
        shares = {name: of["challenger"] / of["n"] for name, of in self.new.items() if of["n"]}
        worst = min(sorted(shares), key=shares.__getitem__, default=None)
        return worst if worst is not None and shares[worst] < 1 else None

    def figures(self) -> dict[str, Any]:
        """The counts, with the keys of every comparison; `first` has those of this one alone."""
        step = self.next_step()
        told = {name: of["challenger"] >= self._least(of) for name, of in self.new.items()}
        return {
            "n": 0,
            "groups": 0,
            "champion": None,
            "challenger": None,
            "difference": None,
            "lower": -1.0,
            "upper": 1.0,
            "gains": 0,
            "losses": 0,
            "design_effect": self.design_effect,
            "classes": {},
            "new_classes": {name: {**of, "told": told[name]} for name, of in self.new.items()},
            "missing": {
                "clips": self.missing,
                "above_all": list(step.label),
                "new_classes": {},
            },
            "basis": self._basis(),
            "next": step.text,
            "label": step.label,
            "first": {
                "n": self.total["n"],
                "right": self.total["challenger"],
                "groups": self.total["groups"],
                "guessing": self.commonest[1],
                "commonest": self.commonest[0],
                "p": self.p,
                "p_groups": self.p_groups,
                "classes": {
                    name: {"n": of["n"], "groups": of["groups"], "right": of["challenger"]}
                    for name, of in self.new.items()
                },
                "weakest": self.weakest,
                "is_shown": self.is_shown,
            },
        }

    def _least(self, counts: Counts) -> float:
        return max(1.0, self.rule.new_class_recall * counts["n"])

    def _basis(self) -> str:
        if not self.crossed:
            return "holdout"
        is_all = self.crossed == len(self.clips)
        return "cross-validation" if is_all else "holdout and cross-validation"

    def reason(self) -> str:
        """The outcome, for a person who is no statistician."""
        if not self.clips:
            return "The two models have no class in common, and no labelled clip can judge."
        n = self.total["n"]
        how = "each predicted by a model that did not learn from it or its group"
        score = f"Right on {self.total['challenger']} of {counted(n, 'labelled clip')}, {how}"
        guess = f"guessing (always {self.commonest[0]}) is right on {self.commonest[1]}"
        champion = f"the champion, which knows none of these classes, on {self.total['champion']}"
        sentences = [f"{score}; {guess}, {champion}: {self._conclusion()}."]
        if self.weakest is not None:
            of = self.new[self.weakest]
            right = f"{of['challenger']} of {of['n']}"
            sentences.append(f"The weakest class is {self.weakest}, right on {right}.")
        return " ".join(sentences)

    def _conclusion(self) -> str:
        if self.outcome == "promoted":
            return "it is better, beyond chance"
        if self.outcome == "refused":
            return "it is no better than guessing"
        if self.p <= self.level:
            return "better, but too few recordings to rule out chance"
        return "too few to rule out chance"

    def next_step(self) -> NextStep:
        """What a person can do."""
        if self.outcome == "promoted":
            return self._more_of_the_weakest()
        fewest = sorted(self.new, key=lambda name: (self.new[name]["n"], name))
        if self.outcome == "refused" or self.missing >= MOST_CLIPS:
            names = ", ".join(fewest)
            check = "Check that the labels are right ('vidwatch labels')"
            text = f"{check}, then label {MORE_CLIPS} more clips of each class, of other recordings"
            return NextStep(f"{text}: {names}.", dict.fromkeys(fewest, MORE_CLIPS))
        share = -(-self.missing // max(1, len(fewest)))
        text = f"Label about {counted(self.missing, 'more clip')}, of other recordings"
        text += f", above all of {', '.join(fewest[:3])}"
        return NextStep(f"{text}.", dict.fromkeys(fewest[:3], share))

    def _more_of_the_weakest(self) -> NextStep:
        if self.weakest is None:
            return NextStep("", {})
        of = self.new[self.weakest]
        text = f"Label more of {self.weakest}, which is right on {of['challenger']} of {of['n']}"
        return NextStep(f"{text}.", {self.weakest: MORE_CLIPS})


def compare(
    evidence: Sequence[Evidence],
    crossed: Sequence[Evidence],
    classes: Sequence[str],
    level: float,
    rule: Rule,
) -> FirstModel:
    """The comparison on the clips of both kinds.

    Args:
        evidence: The holdout clips. Biased ones count: the champion is right on none.
        crossed: The clips by cross-validation.
        classes: Those of the challenger.
        level: How probable it may be that guessing does as well.
        rule: What a challenger has to show.
    """
    clips = [replace(clip, biased=False) for clip in (*evidence, *crossed)]
    return FirstModel(clips, len(crossed), by_class(clips, classes), level, rule)

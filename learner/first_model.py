"""Compares a challenger with a champion that knows none of its classes.

So it is with the first model of one's own: the starter is right on none of the clips that a person
has labelled with classes of their own. The challenger has to be better than guessing, as
`learner.guessing` tests it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np

from learner.evidence import (
    Counts,
    Evidence,
    NextStep,
    Outcome,
    Rule,
    basis,
    by_class,
    count,
    fallen,
)
from learner.guessing import FOR_ACCURACY, p_of_accuracy, p_of_classes, p_of_either
from learner.paired import Paired
from learner.texts import counted

Array = np.ndarray[Any, Any]

MORE_CLIPS = 5
MOST_CLIPS = 100  # if more were needed, the number would say little
MOST_TIMES = 10  # so, too, if so many times as many recordings were needed
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

    @cached_property
    def names(self) -> list[str]:
        """All classes, of labels and of predictions: the rows and columns of the counts."""
        return sorted({name for clip in self.clips for name in (clip.label, clip.challenger)})

    @cached_property
    def confusion(self) -> Array:
        """`(C, C)`: how many clips of each label (rows) got each prediction (columns)."""
        return self._counted(np.ones(len(self.clips)))

    @cached_property
    def by_groups(self) -> Array:
        """The same, if all clips of a label in a group count as one."""
        units = [(clip.label, name) for clip, name in zip(self.clips, self._groups, strict=True)]
        sizes = Counter(units)
        return self._counted(np.array([1 / sizes[unit] for unit in units]))

    def _counted(self, weights: Array) -> Array:
        table = np.zeros((len(self.names), len(self.names)))
        for clip, weight in zip(self.clips, weights, strict=True):
            table[self.names.index(clip.label), self.names.index(clip.challenger)] += weight
        return table

    @cached_property
    def _groups(self) -> list[str]:
        """Of each clip, the group that somebody named, or a name for the clip alone.

        If no class has two groups, as with a single camera, groups show nothing: clips count.
        """
        is_single = all(of["groups"] < LEAST_GROUPS for of in self.new.values())
        return [
            f"clip {number}" if is_single or clip.guessed else f"group {clip.group}"
            for number, clip in enumerate(self.clips)
        ]

    @cached_property
    def design_effect(self) -> float:
        """As of `Paired`, over the groups that somebody named."""
        return Paired.of(
            (name, False, clip.challenger == clip.label)
            for name, clip in zip(self._groups, self.clips, strict=True)
        ).design_effect

    @cached_property
    def p(self) -> float:
        """How probable it is that guessing does as well, if each clip counts."""
        return p_of_either(p_of_accuracy(self.confusion), p_of_classes(self.confusion))

    @cached_property
    def p_groups(self) -> float:
        """The same, if clips of one group count less."""
        of_accuracy = p_of_accuracy(self.confusion, self.design_effect)
        return p_of_either(of_accuracy, p_of_classes(self.by_groups))

    def _is_shown(self, p: float, p_groups: float) -> bool:
        return p <= self.level and p_groups <= GROUPS_MAY * self.level

    @cached_property
    def is_shown(self) -> bool:
        """Whether it is better than guessing and than the champion, beyond chance."""
        is_better = self.total["challenger"] > self.total["champion"]
        return is_better and self._is_shown(self.p, self.p_groups)

    @property
    def _lacks_groups(self) -> bool:
        """Whether there are enough clips, if they were not of so few groups."""
        return self.p <= self.level and not self.is_shown

    @cached_property
    def fallen(self) -> list[str]:
        """The classes of labels on which the champion is right, and the challenger is not."""
        unbiased = [clip for clip in self.clips if not clip.biased]
        return fallen(by_class(unbiased, {clip.label for clip in unbiased}), self.rule)

    @cached_property
    def outcome(self) -> Outcome:
        """What follows from the counts."""
        if self.fallen:
            return "refused"
        if self.is_shown:
            return "promoted"
        right = self.total["challenger"]
        is_useless = right <= self.total["champion"] or (
            right <= self.commonest[1] and self.p > self.level
        )
        # Of clips of a single class, guessing is right on all.
        is_judged = self.commonest[1] < self.total["n"]
        return "refused" if is_useless and is_judged else "undecided"

    @cached_property
    def missing(self) -> int:
        """How many more clips are needed, if it is right as often on these."""
        if self.outcome != "undecided":
            return 0
        n = max(1, self.total["n"])
        by_clips, by_groups = self.confusion / n, self.by_groups / n
        if self.commonest[1] == self.total["n"]:  # of one class: as if two had as many
            share = self.total["challenger"] / n if self.clips else 1.0
            by_clips = np.array([[share, 1 - share], [1 - share, share]]) / 2
            by_groups = by_clips / self.design_effect

        def is_decided(more: int) -> bool:
            of = self.total["n"] + more
            of_accuracy = p_of_accuracy(of * by_clips)
            of_groups = p_of_accuracy(of * by_clips, self.design_effect)
            return self._is_shown(
                p_of_either(of_accuracy, p_of_classes(of * by_clips)),
                p_of_either(of_groups, p_of_classes(of * by_groups)),
            )

        return max(1, bisect_left(range(self._most), True, key=is_decided))

    @property
    def _most(self) -> int:
        """If `missing` were more, the number would say little."""
        return max(MOST_CLIPS, MOST_TIMES * self.total["n"]) if self._lacks_groups else MOST_CLIPS

    @property
    def recordings(self) -> int:
        """How many recordings the clips count as. A clip whose group was guessed counts as one."""
        return len(set(self._groups))

    @property
    def missing_recordings(self) -> int:
        """Of how many other recordings the missing clips have to be.

        `missing` is the number if more clips come in groups of the same size as those so far. More
        clips of the same groups only make these larger: the number would grow with them.
        """
        return ceil(self.missing * self.recordings / max(1, self.total["n"]))

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
                "clips": min(self.missing, MOST_CLIPS),
                "above_all": list(step.label),
                "new_classes": {},
            },
            "basis": basis(len(self.clips), self.crossed),
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
            is_right_more_often = p_of_accuracy(self.confusion) <= FOR_ACCURACY * self.level
            return "it is better, beyond chance" if is_right_more_often else self._recognised()
        if self.fallen:
            return f"class {self.fallen[0]} falls apart"
        if self.outcome == "refused":
            return "it is no better than guessing"
        if self._lacks_groups:
            return "better, but too few recordings to rule out chance"
        return "too few to rule out chance"

    def _recognised(self) -> str:
        """Which class it is that cannot be recognised as well by chance."""
        best = int(p_of_classes(self.confusion).argmin())
        n, predicted = self.confusion.sum(1)[best], self.confusion.sum(0)[best]
        hits = self.confusion[best, best]
        counts = f"{hits:.0f} of its {n:.0f} clips get it"
        counts += f", and {predicted - hits:.0f} of the {len(self.clips) - n:.0f} others"
        return f"it recognises {self.names[best]}, beyond chance: {counts}"

    def next_step(self) -> NextStep:
        """What a person can do."""
        if self.outcome == "promoted":
            return self._more_of_the_weakest()
        fewest = sorted(self.new, key=lambda name: (self.new[name]["n"], name))
        if self.outcome == "refused" or self.missing >= self._most:
            names = ", ".join(fewest)
            check = "Check that the labels are right ('vidwatch labels')"
            text = f"{check}, then label {MORE_CLIPS} more clips of each class, of other recordings"
            return NextStep(f"{text}: {names}.", dict.fromkeys(fewest, MORE_CLIPS))
        few = fewest[:3]
        share = ceil(min(self.missing, MOST_CLIPS) / max(1, len(fewest)))
        return NextStep(self._what_to_label(", ".join(few)), dict.fromkeys(few, share))

    def _what_to_label(self, names: str) -> str:
        """What an undecided comparison lacks: recordings, or clips as well."""
        if not self._lacks_groups:
            clips = counted(self.missing, "more clip")
            return f"Label about {clips}, of other recordings, above all of {names}."
        others = f"{counted(self.missing_recordings, 'other recording')} (another camera or day)"
        return (
            f"Label clips of about {others}, above all of {names}: more clips of the same "
            f"recordings do not help. The clips so far count as "
            f"{counted(self.recordings, 'recording')}: 'vidwatch groups' shows which, and how to "
            "tell recordings apart."
        )

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
    clips = [*evidence, *crossed]
    return FirstModel(clips, len(crossed), by_class(clips, classes), level, rule)

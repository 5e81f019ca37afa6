"""One comparison of a challenger with a champion that knows some of its classes.

Its counts, its outcome, its words, and the next step. How the level of each comparison is chosen
stands in `learner.promotion`; models without a class in common are compared by
`learner.first_model`.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

from learner.evidence import Counts, NextStep, Outcome, Rule, basis, fallen
from learner.paired import Paired, quantile
from learner.texts import counted

FEWEST_CLIPS = 3
"""Of a new class, and of the classes known before, at least so many clips judge."""
MOST_CLIPS = 10_000_000
SHARED = 2  # clips in the group of a clip, on average, from which on groups are spoken of
NAMED = 3  # so many of the classes with the fewest clips
MORE_CLIPS = 5  # of a class that is recognised too rarely, if nothing says how many are needed


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
    holdout: Paired
    """Of the holdout alone."""
    level: float
    """How probable it may be that this comparison alone takes over a worse model."""
    rule: Rule
    crossed: int = 0
    """How many of the clips in `total` judge by cross-validation: they are not of the holdout."""
    is_small: bool = False
    """The holdout is too small to show anything, so cross-validation judges beside it.

    Then a challenger that is within the margin, beyond chance, only has to be better as counted.
    """
    dropped: tuple[str, ...] = ()
    """The champion's classes that the challenger does not know, and that have no label any more."""

    @cached_property
    def fallen(self) -> list[str]:
        """The champion's classes that fall apart, the worst first.

        Also those that the challenger does not know.
        """
        return fallen(self.known, self.rule)

    @cached_property
    def waiting(self) -> dict[str, int]:
        """The new classes that cannot be judged yet, and how many clips they lack.

        One, if all that they lack is another group.
        """
        lacks = {
            name: max(FEWEST_CLIPS - of["n"], self.groups - of["groups"], 0)
            for name, of in self.new.items()
        }
        return {name: lack for name, lack in lacks.items() if lack}

    @cached_property
    def recognised(self) -> list[str]:
        """The new classes that the challenger recognises."""
        return [
            name
            for name, of in self.new.items()
            if name not in self.waiting and of["challenger"] >= self.rule.new_class_recall * of["n"]
        ]

    @property
    def _changes_classes(self) -> bool:
        """Whether it knows the right classes, and the champion does not."""
        return bool(self.recognised or self.dropped)

    @cached_property
    def outcome(self) -> Outcome:
        """What follows from the counts."""
        # What labels that trained say by cross-validation may be as wrong as they are.
        if self.fallen or self._is_worse(self.holdout):
            return "refused"
        return self.compare(self.paired, changes_classes=self._changes_classes)

    def compare(self, paired: Paired, *, changes_classes: bool) -> Outcome:
        """The outcome on the shared classes.

        A wrong refusal costs one challenger only. So refusals are held to the odds themselves in
        each comparison.
        """
        loses = self._loses(paired)
        shown = -quantile(self.rule.odds)
        if self._is_worse(paired):
            return "refused"
        if changes_classes and not loses and paired.n >= FEWEST_CLIPS:
            return "promoted"
        if paired.is_above(-self.rule.margin, self.level) and (
            paired.is_above(0, self.level) or (self.is_small and paired.difference > 0)
        ):
            return "promoted"
        has_no_gain = paired.difference <= 0 and paired.z(self.rule.gain) < shown
        return "refused" if has_no_gain and not (changes_classes or self.waiting) else "undecided"

    def _loses(self, paired: Paired) -> bool:
        """Whether it is worse as counted.

        Else, with many clips, even a real loss would be shown to be within the margin.
        """
        return paired.difference < -self.rule.margin / 4

    def _is_worse(self, paired: Paired) -> bool:
        """Beyond chance."""
        loses = paired.n > 0 and self._loses(paired)
        return loses and paired.z(0) < -quantile(self.rule.odds)

    @cached_property
    def missing(self) -> int:
        """How many more clips of the shared classes are needed, if they are like the others."""
        if self.outcome != "undecided":
            return 0

        def is_decided(more: int) -> bool:
            paired = self.paired.among(self.total["n"] + more)
            changes = bool(self._changes_classes or self.waiting)
            return self.compare(paired, changes_classes=changes) != "undecided"

        return bisect_left(range(MOST_CLIPS), True, key=is_decided)

    @property
    def _can_be_promoted(self) -> bool:
        """Whether it may take over after more clips, if they are like the others.

        Else, however many are labelled, they only show that the champion stays.
        """
        has_reason = self._changes_classes or self.waiting or self.paired.difference > 0
        return bool(has_reason) or not self.total["n"]

    @property
    def _cannot_gain(self) -> bool:
        """Whether the champion is wrong on so few clips that no gain is worth waiting for."""
        if self._changes_classes or self.waiting:
            return False
        if self.outcome == "refused" and self._loses(self.paired):
            return False
        n = self.total["n"]
        return n - self.total["champion"] < self.rule.gain * n

    @property
    def fewest(self) -> list[str]:
        """The shared classes that have the fewest clips."""
        return sorted(self.shared, key=lambda name: (self.shared[name]["n"], name))[:NAMED]

    @property
    def is_as_counted(self) -> bool:
        """Whether it took over as counted, and a loss is not ruled out beyond chance."""
        return self.outcome == "promoted" and not self._is_better()

    def figures(self) -> dict[str, Any]:
        """Counts, accuracies, their difference and its bounds."""
        n = self.total["n"]
        paired = self.paired
        z = quantile(self.level)
        step = self.next_step()
        figures = {
            "n": n,
            "groups": self.total["groups"],
            "champion": self.total["champion"] / n if n else None,
            "challenger": self.total["challenger"] / n if n else None,
            "difference": paired.difference if n else None,
            "lower": paired.lower(z),
            "upper": paired.upper(z),
            "gains": paired.gains,
            "losses": paired.losses,
            "design_effect": paired.design_effect,
            "classes": self.known,
            "new_classes": {
                name: {**counts, "told": name in self.recognised}
                for name, counts in self.new.items()
            },
            "dropped": list(self.dropped),
            "missing": {
                "clips": self.missing,
                "above_all": self.fewest,
                "new_classes": self.waiting,
            },
            "basis": basis(self.total["n"], self.crossed),
            "next": step.text,
            "label": step.label,
        }
        return figures | ({"risk": self._risk()} if self.is_as_counted else {})

    def _risk(self) -> float:
        """How much accuracy may be lost on the shared classes, with a probability of 95 %."""
        return max(0.0, -self.paired.lower(quantile(0.05)))

    def reason(self) -> str:
        """The outcome, for a person who is no statistician."""
        if self.fallen:
            first, *others = self.fallen
            classes = counted(len(others), "more class does", "more classes do")
            more = f" ({classes}, too)" if others else ""
            return f"Class {first} falls apart: {self._score(self.known[first])}{more}."
        of_shared = f"On the classes that both know, {self._score(self.total)}"
        sentences = [f"{of_shared}: {self._conclusion()}."]
        if self.dropped:
            has = "has" if len(self.dropped) == 1 else "have"
            sentences.append(f"It drops {', '.join(self.dropped)}, which {has} no label any more.")
        if self.is_small and not self.new and not self.dropped:
            sentences.append("The holdout alone has too few clips to judge.")
        new = [
            f"{name} {of['challenger']} of {counted(of['n'], 'clip')}{self._lack(name)}"
            for name, of in self.new.items()
        ]
        if new:
            least = f"{self.rule.new_class_recall:.0%}"
            sentences.append(
                f"New classes, of which {least} has to be recognised: {', '.join(new)}."
            )
        return " ".join(sentences)

    def _score(self, counts: Counts) -> str:
        clips = (
            counted(counts["n"], "clip") if self.crossed else counted(counts["n"], "holdout clip")
        )
        if counts is self.total and self.crossed:
            if self.crossed == counts["n"]:
                clips += " (all by cross-validation)"
            else:
                clips += (
                    f" ({counts['n'] - self.crossed} of the holdout, others by cross-validation)"
                )
        return (
            f"of {clips} the champion predicts {counts['champion']} right, "
            f"the challenger {counts['challenger']}"
        )

    def _is_better(self) -> bool:
        """Beyond chance."""
        return self.paired.is_above(0, self.level)

    def _conclusion(self) -> str:
        if self.outcome == "refused":
            if self._is_worse(self.paired):
                return "it is worse, beyond chance"
            if self._is_worse(self.holdout):
                return "on those of the holdout it is worse, beyond chance"
            return f"no gain, and one of {100 * self.rule.gain:g} points would have shown"
        is_within = self.paired.is_above(-self.rule.margin, self.level)
        if self.is_as_counted:
            counted_as = "better" if self.paired.difference > 0 else "not worse"
            risk = f"at most {100 * self._risk():.0f} points may be lost, with probability 95 %"
            return f"it is {counted_as} as counted; {risk}"
        if not is_within:
            is_lost = self._changes_classes and self._loses(self.paired)
            return "it is worse as counted" if is_lost else "too few to say"
        points = f"{100 * self.rule.margin:g} points"
        words = "it is better" if self._is_better() else f"it is not worse by {points}"
        words += ", beyond chance"
        if self._loses(self.paired):
            words += ", but worse as counted"
        if self.missing:
            words += "; whether it is better is open"
        return words

    def _lack(self, name: str) -> str:
        if name not in self.waiting:
            return ""
        return f" ({self.waiting[name]} more needed{self._other_group(name)})"

    def _other_group(self, name: str) -> str:
        is_one_group = self.new[name]["groups"] < self.groups
        return ", of another group" if is_one_group else ""

    def next_step(self) -> NextStep:
        """What a person can do."""
        if self.fallen:
            return self._regain(self.fallen[0])
        if unclear := self._unclear():
            wanted = [f"{more} of {name}{self._other_group(name)}" for name, more in unclear]
            return NextStep(f"Label more clips: {'; '.join(wanted)}.", dict(unclear))
        if self.outcome == "promoted":
            return NextStep("", {})
        worst = self._worst()
        if self._cannot_gain:
            right = f"{self.total['champion']} of {counted(self.total['n'], 'clip')}"
            text = f"The champion is right on {right}, and stays. Nothing has to be done"
            return NextStep(f"{text}; if it is wrong on other clips, label these.", {})
        if self.missing and self._can_be_promoted:
            names = self.fewest
            share = -(-self.missing // max(1, len(names)))
            clips = counted(self.missing, "more clip")
            text = f"Label about {clips}{self._of_recordings()}, above all of {', '.join(names)}"
            return NextStep(f"{text}; corrections do not count.", dict.fromkeys(names, share))
        if self.outcome == "refused" and self._loses(self.paired):
            text = f"Check the newest labels ('vidwatch labels'), then label more of {worst}"
            return NextStep(f"{text}.", {worst: MORE_CLIPS})
        text = f"The champion stays. What helps most are more labels of {worst}"
        return NextStep(f"{text}.", {worst: MORE_CLIPS})

    def _of_recordings(self) -> str:
        """Of how many other recordings the missing clips have to be, if several clips share one.

        `missing` is the number if more clips come in groups of the same size as those so far. More
        clips of the same groups only make these larger: the number would grow with them.
        """
        if self.paired.group < SHARED:
            return ""
        recordings = ceil(self.missing * self.total["groups"] / self.total["n"])
        return f" of about {counted(recordings, 'other recording')}"

    def _regain(self, name: str) -> NextStep:
        """For a class that falls apart."""
        if name in self.shared:
            text = f"Label about {MORE_CLIPS} more clips of {name}, of other recordings"
        else:
            text = f"It has too few clips to learn {name}: label {MORE_CLIPS} more"
            text += ", or take the labels of the others back"
        return NextStep(f"{text}.", {name: MORE_CLIPS})

    def _unclear(self) -> list[tuple[str, int]]:
        """The new classes that wait or are not recognised, and how many more clips to label."""
        if self.recognised and self.outcome == "undecided":
            return []
        return [
            (name, self.waiting.get(name, MORE_CLIPS))
            for name in self.new
            if name not in self.recognised
        ]

    def _worst(self) -> str:
        """The shared class on which the challenger is wrong most often; empty if on none."""
        wrong = {name: of["n"] - of["challenger"] for name, of in self.shared.items()}
        worst = max(sorted(wrong), key=wrong.__getitem__, default="")
        return worst if worst and wrong[worst] else ""

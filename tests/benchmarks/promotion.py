"""How often the promotion rule takes a worse model, and how many holdout clips it needs to see a
better one.

Answers are drawn, no model runs: two models agree on a clip more often than their accuracies say,
and so do clips of one group, about as heads trained on more and fewer of the ten classes' clips did
(4 to 9 % of their answers differed, correlated by 0.5 within a group). Prints tables with the naive
rule beside ours. The exact tests take their time: tables d and e come within a quarter of an hour on
one core, table a takes longer.
"""

from collections.abc import Callable
from math import inf, pi, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from learner.paired import Paired
from learner.promotion import Evidence, Rule, judge
from learner.sequential import evidence_of_loss

Array = np.ndarray[Any, Any]

RULE, LOOKS = Rule(), 20
CLASSES = [f"class {i}" for i in range(10)]
SAME = 0.7  # the share of clips on which two models answer alike because the clip, not the model, decides
WITHIN = 0.5  # the correlation within a group
KINDS = {"independent": 1, "in groups of 7": 7}
# Whoever has more clips right; the rule; the rule where the challenger tells a new class too.
TAKERS = ("naive", "rule", "new class")


class Holdout:
    """`tries` holdouts of `n` clips each, and on each of them as many models as are asked for."""

    def __init__(self, tries: int, n: int, size: int, rng: np.random.Generator) -> None:
        self.n, self.size, self.rng = n, size, rng
        self.group = np.arange(n) // size
        self.follows = rng.random((tries, n)) < sqrt(WITHIN)  # what its group does
        self.hardness = self._draw()

    def _draw(self) -> Array:
        of_group = self.rng.random((len(self.follows), self.group[-1] + 1))[:, self.group]
        return np.where(
            self.follows & (self.size > 1), of_group, self.rng.random(self.follows.shape)
        )

    def right(self, accuracy: float) -> Array:
        """`(tries, n)`: which clips a new model of this accuracy tells."""
        return np.where(self._draw() < sqrt(SAME), self.hardness, self._draw()) < accuracy

    def paired(self, champion: Array, challenger: Array) -> list[Paired]:
        """The counts of each try."""
        sign = challenger.astype(int) - champion
        squares = (np.add.reduceat(sign, np.arange(0, self.n, self.size), axis=1) ** 2).sum(1)
        group = (np.bincount(self.group) ** 2).sum() / self.n
        counts = zip(
            (sign > 0).sum(1).tolist(), (sign < 0).sum(1).tolist(), squares.tolist(), strict=True
        )
        return [Paired(self.n, gains, losses, square, group) for gains, losses, square in counts]

    def is_promoted(
        self, champion: Array, challenger: Array, look: int, *, new_class: bool = False
    ) -> bool:
        """What the rule says to one try's answers; `new_class`: the challenger tells one."""
        labels = [CLASSES[group % len(CLASSES)] for group in self.group]
        answers = zip(labels, self.group, champion.tolist(), challenger.tolist(), strict=True)
        clips = [
            Evidence(label, str(group), label * a, label * b) for label, group, a, b in answers
        ]
        clips += [Evidence("new", f"new {i}", "", "new") for i in range(5 * new_class)]
        return (
            judge(clips, CLASSES, CLASSES + ["new"] * new_class, look, RULE).verdict == "promoted"
        )


def level(look: int) -> float:
    """The rule's."""
    return RULE.odds * 6 / (pi * look) ** 2


def bonett_price(paired: Paired, null: float) -> float:
    """Adjusted Wald (2012) with the design effect as the clips show it: what Tango's score is
    compared with.
    """
    gained, lost = ((count + 1) / (paired.n + 2) for count in (paired.gains, paired.losses))
    effect = max(1, paired.squares / max(1, paired.gains + paired.losses))
    return (gained - lost - null) / sqrt(
        effect * (gained + lost - (gained - lost) ** 2) / (paired.n + 2)
    )


def worse_taken(
    size: int, difference: float, rng: np.random.Generator, tries: int = 600, n: int = 300
) -> list[float]:
    """How often each of `TAKERS` takes a model: at the first look, and at one of 20."""
    holdout, looks = Holdout(tries, n, size, rng), range(1, LOOKS + 1)
    champion, challengers = holdout.right(0.92), [holdout.right(0.92 + difference) for _ in looks]

    def takes(taker: str, i: int, look: int) -> bool:
        challenger, new_class = challengers[look - 1][i], taker == "new class"
        gain = challenger.mean() - champion[i].mean()
        if taker == "naive":
            return bool(gain > 0)
        # The lower bound never lies above the difference itself, so the others need not be judged.
        could = gain > -RULE.margin * new_class
        return could and holdout.is_promoted(champion[i], challenger, look, new_class=new_class)

    first = {
        taker: [next((look for look in looks if takes(taker, i, look)), inf) for i in range(tries)]
        for taker in TAKERS
    }
    return [
        float(np.mean(np.array(first[taker]) <= last)) for taker in TAKERS for last in (1, LOOKS)
    ]


def table_of_worse(rng: np.random.Generator) -> Table:
    """Table a."""
    columns = [f"{taker}, {when}" for taker in TAKERS for when in ("1 look", f"{LOOKS} looks")]
    title = "a. How often a model is taken, by its true difference in accuracy; champion 0.92, 300 holdout clips"
    table = Table("clips", "points", *columns, title=title, box=None)
    for name, size in KINDS.items():
        for difference in (-0.15, -0.10, -0.05, -0.02, 0.0, 0.05):
            shares = worse_taken(size, difference, rng)
            table.add_row(name, f"{100 * difference:+.0f}", *(f"{share:.1%}" for share in shares))
    return table


def table_of_needs(rng: np.random.Generator) -> Table:
    """Table b."""
    title = "b. Holdout clips needed to see 0.95 against 0.90 with probability 0.8, "
    title += "and how often the whole rule then does"
    table = Table("clips", "look", "level", "needed", "groups", "taken", title=title, box=None)
    for name, size in KINDS.items():
        for look in (1, 5):
            z = -NormalDist().inv_cdf(level(look))
            n = next(n for n in range(105, 4000, 35) if _power(n, size, z, rng) >= 0.8)
            holdout = Holdout(300, n, size, rng)
            answers = zip(holdout.right(0.90), holdout.right(0.95), strict=True)
            taken = np.mean([holdout.is_promoted(a, b, look) for a, b in answers])
            table.add_row(
                name, str(look), f"{level(look):.4f}", str(n), str(-(-n // size)), f"{taken:.0%}"
            )
    return table


def _power(n: int, size: int, z: float, rng: np.random.Generator) -> float:
    holdout = Holdout(1500, n, size, rng)
    return float(
        np.mean(
            [paired.z(0) > z for paired in holdout.paired(holdout.right(0.90), holdout.right(0.95))]
        )
    )


def table_of_levels(rng: np.random.Generator) -> Table:
    """Table c."""
    statistics: dict[str, Callable[[Paired, float], float]] = {
        "Bonett-Price": bonett_price,
        "ours": Paired.z,
    }
    worse = 0.95 - RULE.margin
    title = f"c. One worse by the margin ({worse:.2f} against 0.95) passes so many times as often as the level says"
    table = Table(
        "clips", "n", "statistic", *(f"look {look}" for look in (1, 5, 20)), title=title, box=None
    )
    for name, size in KINDS.items():
        for n in (150, 300, 600):
            holdouts = [Holdout(5000, n, size, rng) for _ in range(8)]
            tries = [
                paired
                for each in holdouts
                for paired in each.paired(each.right(0.95), each.right(worse))
            ]
            for statistic, z in statistics.items():
                found = np.array([z(paired, -RULE.margin) for paired in tries])
                ratios = [
                    (found > -NormalDist().inv_cdf(level(look))).mean() / level(look)
                    for look in (1, 5, 20)
                ]
                table.add_row(name, str(n), statistic, *(f"{ratio:.1f}" for ratio in ratios))
    return table


def _first_clips(
    accuracy: float, classes: int, each: int, size: int, rng: np.random.Generator
) -> list[Evidence]:
    """Clips of one's own classes, in groups that are alike; guessing is spread over the classes."""
    names = [f"own {i}" for i in range(classes)]
    clips = []
    for name in names:
        for group in range(-(-each // size)):
            of_group = rng.random()
            for _ in range(min(size, each - group * size)):
                follows = size > 1 and rng.random() < WITHIN
                is_right = (of_group if follows else rng.random()) < accuracy
                wrong = names[(names.index(name) + 1) % classes]
                found = name if is_right else wrong
                clips.append(Evidence(name, f"{name} {group}", "", found))
    return clips


def table_of_first(rng: np.random.Generator, tries: int = 1000) -> Table:
    """Table d."""
    title = (
        "d. How often the first model of one's own takes over, by its true accuracy, at the first "
    )
    title += f"look; and a model that guesses, at one of {LOOKS} on new predictions each"
    accuracies = ("guessing", f"guessing, {LOOKS} looks", "0.6", "0.8", "0.9", "0.99")
    table = Table("clips", "classes x clips", *accuracies, title=title, box=None)
    for name, size in (("independent", 1), ("in groups of 2", 2), ("in groups of 5", 5)):
        for classes, each in ((2, 3), (3, 5), (2, 10), (3, 12), (5, 20)):
            row = []
            for accuracy, looks in ((1 / classes, 1), (1 / classes, LOOKS), *((a, 1) for a in OWN)):
                taken = 0
                for _ in range(tries if looks == 1 else tries // 4):
                    taken += any(
                        judge(
                            [],
                            CLASSES,
                            [f"own {i}" for i in range(classes)],
                            look,
                            RULE,
                            _first_clips(accuracy, classes, each, size, rng),
                        ).verdict
                        == "promoted"
                        for look in range(1, looks + 1)
                    )
                row.append(f"{taken / (tries if looks == 1 else tries // 4):.1%}")
            table.add_row(name, f"{classes} x {each}", *row)
    return table


OWN = (0.6, 0.8, 0.9, 0.99)
WATCH_CLIPS, WATCH_ODDS = 50, 0.05  # as in daemon/training/watch.py


def table_of_added(rng: np.random.Generator, tries: int = 400) -> Table:
    """Table e."""
    title = (
        "e. A class is added (5 clips, of which 9 of 10 are recognised); champion 0.92 on the old "
    )
    title += (
        "classes. How often the challenger takes over at its first comparison, and stays after a "
    )
    title += f"watch of {WATCH_CLIPS} clips"
    columns = [f"{old} old clips, {what}" for old in (15, 40, 100) for what in ("taken", "stays")]
    table = Table("clips", "points", *columns, title=title, box=None)
    for name, size in (("independent", 1), ("in groups of 5", 5)):
        for difference in (-0.20, -0.15, -0.10, -0.05, -0.02, 0.0):
            row = []
            for old in (15, 40, 100):
                holdout = Holdout(tries, old, size, rng)
                later = Holdout(tries, WATCH_CLIPS, size, rng)
                sides = [holdout.right(0.92), holdout.right(0.92 + difference)]
                after = [later.right(0.92), later.right(0.92 + difference)]
                taken = [_is_added(sides[0][i], sides[1][i], holdout, rng) for i in range(tries)]
                stays = [
                    taken[i] and not _is_taken_back(after[0][i], after[1][i], later)
                    for i in range(tries)
                ]
                row += [f"{np.mean(taken):.1%}", f"{np.mean(stays):.1%}"]
            table.add_row(name, f"{100 * difference:+.0f}", *row)
    return table


def _is_added(
    champion: Array, challenger: Array, holdout: Holdout, rng: np.random.Generator
) -> bool:
    labels = [CLASSES[group % len(CLASSES)] for group in holdout.group]
    answers = zip(labels, holdout.group, champion.tolist(), challenger.tolist(), strict=True)
    clips = [Evidence(label, str(group), label * a, label * b) for label, group, a, b in answers]
    told = ["new" if rng.random() < 0.9 else "" for _ in range(5)]
    clips += [Evidence("new", f"new {i}", "", found) for i, found in enumerate(told)]
    return judge([], CLASSES, [*CLASSES, "new"], 1, RULE, clips).verdict == "promoted"


def _is_taken_back(champion: Array, challenger: Array, later: Holdout) -> bool:
    """By the watch, after each group of clips that follows."""
    gains = losses = 0
    for group in range(later.group[-1] + 1):
        net = (challenger.astype(int) - champion)[later.group == group].sum()
        gains += net > 0
        losses += net < 0
        if evidence_of_loss(int(gains), int(losses)) >= 1 / WATCH_ODDS:
            return True
    return False


def main() -> None:
    """Print all five."""
    rng, console = np.random.default_rng(0), Console(width=140)
    tables = (table_of_first, table_of_added, table_of_worse, table_of_needs, table_of_levels)
    for table in tables:
        console.print(table(rng), "")


if __name__ == "__main__":
    main()

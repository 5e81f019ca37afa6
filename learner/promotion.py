"""Whether a challenger replaces the champion, by their answers on the same holdout clips. Knows no file, no database.

The holdout is used again and again. Of twenty challengers that are worse, each tried at odds of 1 in 20, one would be
likely to get through. So the k-th comparison with a champion is held to the level odds * 6 / (pi^2 k^2): the levels of
all comparisons add up to `odds`, and the probability that any of them goes wrong is at most that sum (Boole), however
alike the challengers are and although the clips are the same. It needs challengers that do not depend on these clips.
None does: nothing trains on the holdout, and all that a later one can know of it is that the earlier ones were not
promoted, which is true of every row of challengers until it ends; the whole row could be written down beforehand.

Not promised: the odds count anew with each champion, each new class may cost up to the margin again, and a new class's
recall is taken as it is. A champion that was lucky on the holdout is only the harder to replace.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import copysign, inf, pi, sqrt
from statistics import NormalDist, fmean
from typing import Any, Literal

from scipy.optimize import brentq

Outcome = Literal["promoted", "refused", "undecided"]

NEW_CLASS_CLIPS, NEW_CLASS_GROUPS = 5, 2
MOST_CLIPS = 10_000_000
NAMED = 3  # of the classes with the fewest clips


@dataclass(frozen=True)
class Rule:
    """What a challenger has to show; shares are of 1.

    `margin`: of the clips of classes that both know, how many more it may at most get wrong; `class_loss`: of one
    class's clips, how many it may at most lose; `new_class_recall`: of a new class's clips, how many it has to tell;
    `odds`: the highest probability that a champion is ever replaced by a model that is worse by the margin.
    """

    margin: float = 0.05
    class_loss: float = 0.2
    new_class_recall: float = 0.7
    odds: float = 0.05


DEFAULT = Rule()


@dataclass(frozen=True)
class Evidence:
    """One holdout clip: its label, its group, and what both models say.

    `picked`: labelled because of an answer (a correction). Those are clips that the champion gets wrong, so they cannot
    judge the classes it knows. Of a class that it does not know it gets every clip wrong: there picking takes them as
    they come and says nothing of the challenger, so that they count.
    """

    label: str
    group: str
    champion: str
    challenger: str
    picked: bool = False


@dataclass(frozen=True)
class Verdict:
    """`reason` is for a person; `figures`, which JSON can hold, are what it rests on."""

    verdict: Outcome
    reason: str
    figures: dict[str, Any]


@dataclass(frozen=True)
class Tally:
    """Clips, in how many groups, and how many of them each model tells."""

    n: int
    groups: int
    champion: int
    challenger: int

    @classmethod
    def of(cls, clips: Sequence[Evidence]) -> "Tally":
        """Count `clips`."""
        right = (sum(getattr(clip, model) == clip.label for clip in clips) for model in ("champion", "challenger"))
        return cls(len(clips), len({clip.group for clip in clips}), *right)

    @property
    def recall(self) -> float:
        """The challenger's."""
        return self.challenger / self.n


@dataclass(frozen=True)
class Paired:
    """Clips that both models answered: on `gains` only the challenger is right, on `losses` only the champion.

    `squares`: the sum over the groups of (gains - losses)^2; `group`: the mean size of the group that a clip is in.
    """

    n: float
    gains: float
    losses: float
    squares: float
    group: float = 1

    @classmethod
    def of(cls, clips: Iterable[Evidence]) -> "Paired":
        """Compare both models on `clips`."""
        sizes, nets, signs = Counter[str](), Counter[str](), Counter[int]()
        for clip in clips:
            sign = (clip.challenger == clip.label) - (clip.champion == clip.label)
            sizes[clip.group] += 1
            nets[clip.group] += sign
            signs[sign] += 1
        n = sizes.total()
        squares, group = sum(net**2 for net in nets.values()), sum(size**2 for size in sizes.values()) / max(1, n)
        return cls(n, signs[1], signs[-1], squares, max(1, group))

    def among(self, n: int) -> "Paired":
        """The same shares, of `n` clips."""
        by = n / self.n if self.n else 0.0
        return Paired(n, by * self.gains, by * self.losses, by * self.squares, self.group)

    @property
    def difference(self) -> float:
        """The challenger's accuracy less the champion's."""
        return (self.gains - self.losses) / self.n if self.n else 0.0

    @property
    def design_effect(self) -> float:
        """How many times larger the variance is for clips of one group being alike.

        Obuchowski's variance under no difference (1998, in the notation of Yang et al., 2010) over McNemar's. Few clips
        that are answered differently cannot show how alike groups are, so one whole group is added to them: where the
        models never differ, a group counts as one clip.
        """
        return max(1.0, (self.squares + self.group**2) / (self.gains + self.losses + self.group))

    def z(self, null: float) -> float:
        """By how many standard errors the difference lies above `null`: Tango's score statistic (1998).

        It takes the variance under `null`. Bonett and Price's (2012) takes that of the clips seen, which is too small
        just when luck has hidden the losses: models worse by the margin passed a late comparison tens of times as often
        as its level says, in groups hundreds of times; Tango's kept to it (tests/benchmarks/promotion.py). Dividing by
        the design effect is Rao and Scott's way (1992).
        """
        if not self.n:
            return 0.0
        gained, lost = self.gains / self.n, self.losses / self.n
        b, c = (2 - gained + lost) * null - gained - lost, -lost * null * (1 - null)
        variance = (sqrt(max(0.0, b * b - 8 * c)) - b) / 2 + null * (1 - null)
        above = gained - lost - null
        if variance <= 0:
            return copysign(inf, above) if above else 0.0
        return above * sqrt(self.n / self.design_effect / variance)

    def lower(self, z: float) -> float:
        """The difference's lower bound, `z` standard errors away."""
        least = 1e-9 - 1
        if self.difference <= least or self.z(least) <= z:
            return -1.0
        return float(brentq(lambda null: self.z(null) - z, least, self.difference))

    def upper(self, z: float) -> float:
        """Its upper bound."""
        return -replace(self, gains=self.losses, losses=self.gains).lower(z)


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
    be hoped for and nothing is gained, where a gain as large as the margin would have shown. Else undecided.
    """
    unpicked = [clip for clip in evidence if not clip.picked]
    known = _by_class(unpicked, champion_classes)
    shared = {name: tally for name, tally in known.items() if name in set(challenger_classes)}
    judged = [clip for clip in unpicked if clip.label in shared]
    new = _by_class(evidence, set(challenger_classes) - set(champion_classes))
    told, waiting = _sort(new, evidence, bool(shared), rule)
    paired, level = Paired.of(judged), rule.odds * 6 / (pi * look) ** 2
    trial = Trial(Tally.of(judged), paired, known, shared, new, told, waiting, -NormalDist().inv_cdf(level), rule)
    picked = sum(clip.picked and clip.label in shared for clip in evidence)
    figures = {"look": look, "level": level, "picked": picked, **trial.figures(), "rule": asdict(rule)}
    return Verdict(trial.verdict, trial.reason(), figures)


@dataclass(frozen=True)
class Trial:
    """One comparison: what was counted, what follows from it, and how that is said.

    `total` and `paired` are of the unpicked clips of `shared` classes, `known` are all of the champion's, `new` those
    that only the challenger knows: it tells those in `told`, and those in `waiting` have too few clips to say.
    """

    total: Tally
    paired: Paired
    known: Mapping[str, Tally]
    shared: Mapping[str, Tally]
    new: Mapping[str, Tally]
    told: Collection[str]
    waiting: Mapping[str, int]
    z: float
    rule: Rule

    @property
    def fallen(self) -> list[str]:
        """The classes that fall apart."""
        lost = {name: tally.champion - tally.challenger for name, tally in self.known.items()}
        return [name for name in lost if lost[name] > max(1, self.rule.class_loss * self.known[name].n)]

    @property
    def verdict(self) -> Outcome:
        """What the figures come to."""
        if self.fallen:
            return "refused"
        if not self.shared:
            return "promoted" if self.told else "undecided" if self.waiting else "refused"
        return self.compare(self.paired, bool(self.told))

    def compare(self, paired: Paired, told: bool) -> Outcome:
        """On the classes that both know. A wrong refusal costs one challenger: it is held to the odds, at any look."""
        if paired.z(-self.rule.margin) > self.z and (told or paired.z(0) > self.z):
            return "promoted"
        shown = NormalDist().inv_cdf(self.rule.odds)
        worse = paired.difference <= -self.rule.margin and paired.z(0) < shown
        idle = paired.difference <= 0 and paired.z(self.rule.margin) < shown and not told and not self.waiting
        return "refused" if worse or idle else "undecided"

    @property
    def missing(self) -> int:
        """How many more clips of shared classes decide, if they are like those that there are."""
        if not self.shared or self.verdict != "undecided":
            return 0
        hopeful = bool(self.told or self.waiting)
        more = range(MOST_CLIPS)
        key = lambda n: self.compare(self.paired.among(self.total.n + n), hopeful) != "undecided"
        return bisect_left(more, True, key=key)

    def figures(self) -> dict[str, Any]:
        """What `reason` rests on; counts, but for the accuracies, their difference and its bounds, as shares of 1."""
        n, paired = self.total.n, self.paired
        return {
            "n": n,
            "groups": self.total.groups,
            "champion": self.total.champion / n if n else None,
            "challenger": self.total.challenger / n if n else None,
            "difference": paired.difference if n else None,
            "lower": paired.lower(self.z),
            "upper": paired.upper(self.z),
            "gains": paired.gains,
            "losses": paired.losses,
            "design_effect": paired.design_effect,
            "classes": {name: asdict(tally) for name, tally in self.known.items()},
            "new_classes": {name: asdict(tally) for name, tally in self.new.items()},
            "told": list(self.told),
            "missing": {"clips": self.missing, "new_classes": dict(self.waiting)},
        }

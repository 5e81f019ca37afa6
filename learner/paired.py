"""The difference of two models' accuracies on the same clips, of which those of a group are alike.

Statistics alone.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import copysign, floor, inf, sqrt
from statistics import NormalDist

from scipy.optimize import brentq

from learner.exact import LARGE, largest_probability, tango_variance


@dataclass(frozen=True)
class Paired:
    """Counts of the clips that both models predicted."""

    n: float
    gains: float
    """Only the challenger is right."""
    losses: float
    """Only the champion is right."""
    squares: float
    """The sum over the groups of (gains - losses)^2."""
    group: float = 1
    """The mean size of the group that a clip is in."""

    @classmethod
    def of(cls, clips: Iterable[tuple[str, bool, bool]]) -> "Paired":
        """Compare both models on clips.

        Of each clip: its group, whether the champion is right, and whether the challenger is.
        """
        sizes = Counter[str]()
        nets = Counter[str]()
        signs = Counter[int]()
        for group, champion, challenger in clips:
            sign = challenger - champion
            sizes[group] += 1
            nets[group] += sign
            signs[sign] += 1
        n = sizes.total()
        squares = sum(net**2 for net in nets.values())
        mean_size = sum(size**2 for size in sizes.values()) / n if n else 1
        return cls(n, signs[1], signs[-1], squares, mean_size)

    def among(self, n: int) -> "Paired":
        """The same shares, of `n` clips."""
        factor = n / self.n if self.n else 0
        return Paired(
            n, factor * self.gains, factor * self.losses, factor * self.squares, self.group
        )

    @property
    def difference(self) -> float:
        """The challenger's accuracy less the champion's."""
        return (self.gains - self.losses) / self.n if self.n else 0.0

    @property
    def design_effect(self) -> float:
        """How many times larger the variance is because clips of one group are alike.

        Obuchowski's variance under no difference (1998, in the notation of Yang et al., 2010) over
        McNemar's. If few clips are predicted differently, they cannot show how alike groups are. So
        one whole group is added to them: if the models never differ, a group counts as one clip.
        """
        return max(1.0, (self.squares + self.group**2) / (self.gains + self.losses + self.group))

    def z(self, null: float) -> float:
        """By how many standard errors the difference is above `null`: Tango's score statistic.

        Tango (1998) takes the variance under `null`. Bonett and Price (2012) take that of the clips
        seen, which is too small just when luck has hidden the losses. With it, models that are
        worse by the margin passed late comparisons several times as often as the level says, in
        groups hundreds of times as often; with Tango's they did not
        (tests/benchmarks/promotion.py). Dividing by the design effect is the method of Rao and
        Scott (1992).
        """
        if not self.n:
            return 0.0
        gained = self.gains / self.n
        lost = self.losses / self.n
        variance = tango_variance(gained, lost, null)
        above = gained - lost - null
        if variance <= 0:
            return copysign(inf, above) if above else 0.0
        return above * sqrt(self.n / self.design_effect / variance)

    def is_above(self, null: float, level: float) -> bool:
        """Whether the difference is shown to be above `null`: with few clips by an exact test.

        For few clips the normal distribution is too kind: at a level of 0.030, 40 clips passed 1.35
        times as often. So the score also has to be as improbable among as many independent clips as
        these are worth, whatever the share of clips on which the models differ.

        Args:
            null: The difference, from -1 to 0.
            level: How probable it may be at most that this is wrong.
        """
        z = self.z(null)
        if z <= quantile(level):
            return False
        # A tiny part more, so that 40 clips divided by 1 are 40.
        n = floor(self.n / self.design_effect + 1e-9)
        if not n:
            return False
        return n > LARGE or largest_probability(n, z, null) <= level

    def lower(self, z: float) -> float:
        """The difference's lower bound, `z` standard errors away."""
        least = 1e-9 - 1
        if self.difference <= least or self.z(least) <= z:
            return -1.0
        return float(brentq(lambda null: self.z(null) - z, least, self.difference))

    def upper(self, z: float) -> float:
        """The difference's upper bound."""
        return -replace(self, gains=self.losses, losses=self.gains).lower(z)


def quantile(level: float) -> float:
    """How many standard errors `level` corresponds to.

    A normally distributed figure is above its mean by more than so many with the probability
    `level`: 1.64 for 5 %.
    """
    return -NormalDist().inv_cdf(level)

"""The difference of two models' accuracies on the same clips, where clips of one group are alike. Statistics alone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import copysign, inf, sqrt

from scipy.optimize import brentq


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
    def of(cls, clips: Iterable[tuple[str, bool, bool]]) -> "Paired":
        """Compare both models on clips: each one's group, and whether champion and challenger are right."""
        sizes, nets, signs = Counter[str](), Counter[str](), Counter[int]()
        for group, champion, challenger in clips:
            sign = challenger - champion
            sizes[group] += 1
            nets[group] += sign
            signs[sign] += 1
        n, squares = sizes.total(), sum(net**2 for net in nets.values())
        return cls(
            n, signs[1], signs[-1], squares, sum(size**2 for size in sizes.values()) / n if n else 1
        )

    def among(self, n: int) -> "Paired":
        """The same shares, of `n` clips."""
        by = n / self.n if self.n else 0
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

        It takes the variance under `null`. Bonett and Price (2012) take that of the clips seen, which is too small just
        when luck has hidden the losses: with it, models worse by the margin passed late comparisons several times as
        often as the level says, in groups hundreds of times; Tango's kept to it (tests/benchmarks/promotion.py).
        Dividing by the design effect is Rao and Scott's way (1992).
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

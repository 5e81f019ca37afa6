"""What chance alone explains: small statistics on counts.

Written here, since a library that has them would take a second to load.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

FEW = 5  # expected observations: a smaller count is not distributed normally
LEAST = 1  # expected observations: a smaller count says nothing


@dataclass(frozen=True)
class Tally:
    """Observations of one period. An observation can be split over several classes, in shares."""

    n: int = 0
    """How many observations there are."""
    unsure: float = 0.0
    """How many of them are unsure."""
    classes: Mapping[str, float] = field(default_factory=dict)
    """How many of them are of each class."""

    def count(self, names: Collection[str]) -> float:
        """How many observations are of one of these classes."""
        return sum(self.classes.get(name, 0.0) for name in names)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of the share `right` / `n`: its two ends, each from 0 to 1.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22.
    """
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share = right / n
    scale = 1 + z * z / n
    middle = share + z * z / (2 * n)
    half_width = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half_width) / scale), min(1.0, (middle + half_width) / scale)


def p_value_of_unsure(one: Tally, other: Tally) -> float:
    """How likely chance alone makes the shares of unsure observations differ as much.

    The two-sided z test of two proportions. If few observations are expected, with Yates's
    continuity correction: without it, the test would find a difference between 30 observations and
    1,000 up to eight times as often as it should, at a level of 1 in 200 (simulated).

    Source of the correction: Yates (1934), "Contingency tables involving small numbers and the
    chi-square test", Supplement to the Journal of the Royal Statistical Society 1.
    """
    # z = |p1 - p2| / sqrt(p (1 - p) (1/n1 + 1/n2)), where p is the share of both together. The
    # correction makes the difference smaller by half of 1/n1 + 1/n2.
    share = (one.unsure + other.unsure) / (one.n + other.n)
    if not 0 < share < 1:
        return 1.0
    inverse_sizes = 1 / one.n + 1 / other.n
    difference = abs(one.unsure / one.n - other.unsure / other.n)
    if min(share, 1 - share) * min(one.n, other.n) < FEW:
        difference = max(0.0, difference - inverse_sizes / 2)
    z = difference / sqrt(share * (1 - share) * inverse_sizes)
    return 2 * NormalDist().cdf(-z)


def p_value_of_classes(one: Tally, other: Tally) -> float:
    """How likely chance alone makes the shares of the classes differ as much.

    Pearson's chi-square test, with rare classes taken together. If few observations are expected
    even then, their term gets Yates's continuity correction (1934): if they were taken together
    with common classes instead, a class that was never there before could not be noticed.

    The tail of the distribution is an approximation. Source: Wilson and Hilferty (1931), "The
    distribution of chi-square", Proceedings of the National Academy of Sciences 17.
    """
    kinds = _kinds(one, other)
    freedom = len(kinds) - 1
    if freedom < 1:
        return 1.0
    chi_square = sum(chi_square_term(one, other, names) for names in kinds)
    # The cube root of chi-square / freedom is nearly normal, with mean 1 - v and variance v.
    variance = 2 / (9 * freedom)
    cube_root = (chi_square / freedom) ** (1 / 3)
    return NormalDist().cdf((1 - variance - cube_root) / sqrt(variance))


def chi_square_term(one: Tally, other: Tally, names: Collection[str]) -> float:
    """What these classes, taken as one, add to chi-square."""
    observed = one.count(names)
    total = observed + other.count(names)
    if not total:
        return 0.0
    # Both tallies together are as expected, so what one has too many, the other has too few.
    expected = total * one.n / (one.n + other.n)
    expected_of_other = total - expected
    correction = 0.5 if min(expected, expected_of_other) < FEW else 0.0
    difference = max(0.0, abs(observed - expected) - correction)
    return difference**2 * (1 / expected + 1 / expected_of_other)


def _kinds(one: Tally, other: Tally) -> list[set[str]]:
    """The classes, the common ones first, each alone or as many rare ones together as are enough.

    Enough is what makes `FEW` observations expected in the smaller tally. The last set may have
    fewer, but not fewer than `LEAST` if there is another one to join.
    """
    smaller_part = min(one.n, other.n) / (one.n + other.n)
    names = {*one.classes, *other.classes}
    expected = {name: smaller_part * (one.count([name]) + other.count([name])) for name in names}
    kinds: list[set[str]] = []
    rest: set[str] = set()
    for name in sorted(names, key=lambda name: (-expected[name], name)):
        rest.add(name)
        if sum(expected[member] for member in rest) >= FEW:
            kinds.append(rest)
            rest = set()
    if kinds and sum(expected[member] for member in rest) < LEAST:
        kinds[-1] |= rest
        return kinds
    return [*kinds, rest]

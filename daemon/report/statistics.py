"""What chance alone explains: small statistics on counts, without a library that would take a second to load."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import sqrt
from statistics import NormalDist

FEW = 5  # expected: below that, a count does not look like a normal distribution
LEAST = 1  # expected: below that, it is no use


@dataclass(frozen=True)
class Tally:
    """Observations: how many, and how many of them were unsure and of each class, where one may be several in parts."""

    n: int = 0
    unsure: float = 0.0
    classes: Mapping[str, float] = field(default_factory=dict)

    def of(self, names: Collection[str]) -> float:
        """How many were of one of these classes."""
        return sum(self.classes.get(name, 0.0) for name in names)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927)."""
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share, scale = right / n, 1 + z * z / n
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)


def p_value_of_unsure(one: Tally, other: Tally) -> float:
    """How likely chance alone is to make the shares of unsure differ as much: the two-proportion z test.

    Where few are expected, with Yates's continuity correction: without it, chance alone would seem to tell 30
    observations from 1,000 up to eight times as often as it does, at odds of 1 in 200 (simulated).
    """
    share = (one.unsure + other.unsure) / (one.n + other.n)
    if not 0 < share < 1:
        return 1.0
    each = 1 / one.n + 1 / other.n
    is_few = min(share, 1 - share) * min(one.n, other.n) < FEW
    apart = abs(one.unsure / one.n - other.unsure / other.n) - (each / 2 if is_few else 0)
    return 2 * NormalDist().cdf(-max(0.0, apart) / sqrt(share * (1 - share) * each))


def p_value_of_classes(one: Tally, other: Tally) -> float:
    """The same of the spread of classes: the chi-square test, with rare classes taken together.

    Where even then few are expected, their part is with Yates's correction: else a class that was never there before
    could not be told. The tail is Wilson and Hilferty's approximation (1931).
    """
    kinds = _kinds(one, other)
    freedom = len(kinds) - 1
    if freedom < 1:
        return 1.0
    square, spread = sum(chi_square_term(one, other, names) for names in kinds), 2 / (9 * freedom)
    return NormalDist().cdf((1 - spread - (square / freedom) ** (1 / 3)) / sqrt(spread))


def chi_square_term(one: Tally, other: Tally, names: Collection[str]) -> float:
    """What these classes, taken as one, add to chi-square."""
    count = one.of(names)
    both = count + other.of(names)
    if not both:
        return 0.0
    expected = both * one.n / (one.n + other.n)
    least = min(expected, both - expected)
    apart = max(0.0, abs(count - expected) - (0.5 if least < FEW else 0))
    return apart**2 * (1 / expected + 1 / (both - expected))


def _kinds(one: Tally, other: Tally) -> list[set[str]]:
    """The classes, where as many of the rare ones are taken together as are enough on the smaller side."""
    part = min(one.n, other.n) / (one.n + other.n)
    expected = {
        name: part * (one.of([name]) + other.of([name])) for name in {*one.classes, *other.classes}
    }
    kinds, pool = [], set[str]()
    for name in sorted(expected, key=lambda name: (-expected[name], name)):
        pool.add(name)
        if sum(map(expected.__getitem__, pool)) >= FEW:
            kinds.append(pool)
            pool = set()
    if kinds and sum(map(expected.__getitem__, pool)) < LEAST:
        kinds[-1] |= pool
        return kinds
    return [*kinds, pool]

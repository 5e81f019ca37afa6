"""A test that may be read after each new clip. Statistics alone, by whole numbers."""

from fractions import Fraction
from math import comb


def evidence_of_loss(gains: int, losses: int) -> float:
    """How many times likelier these counts are if losses prevail than if they do not.

    The likelihood of a share of losses among the differences is averaged over all shares above one
    half, and divided by that of one half (Robbins, 1970, Annals of Mathematical Statistics 41,
    1397-1409). If losses do not prevail, it is ever 1 / odds or more with a probability of at most
    `odds`, however often one looks (Ville's inequality).

    With n differences, the average is 2 times the integral of x^losses (1 - x)^gains from 1/2 to 1:
    an incomplete beta function, which of whole numbers is a sum of binomial coefficients.
    """
    n = gains + losses
    above_half = sum(comb(n + 1, i) for i in range(losses + 1))
    return float(Fraction(above_half, (n + 1) * comb(n, losses)))

"""Whether a model is better than guessing, beyond chance. Statistics alone.

Two tests, since either alone overlooks good models:

- **Accuracy**: it is right more often than always predicting the commonest class. With classes of
  different sizes that is hard: a model that is right on 46 of 60 and on 14 of 20 clips is right as
  often as that.
- **A class**: it predicts a class for more of the class's own clips than for the others, by
  Fisher's exact test (1935). All that it needs is how often which class is predicted, so a common
  class hides nothing. The best of the classes counts, so each probability is multiplied by how many
  are tried (Bonferroni).

The level is split between both (Bonferroni again). Few clips of classes of one size need nearly all
of it for the first test; where the second one is needed, there are many clips, and a tenth is
enough.
"""

from typing import Any

import numpy as np
from scipy.stats import hypergeom

from learner.exact import at_least

Array = np.ndarray[Any, Any]

FOR_ACCURACY = 0.9
"""The share of the level that the first test gets; the second one gets the rest."""


def p_of_accuracy(confusion: Array, effect: float = 1.0) -> float:
    """How probable it is that always predicting the commonest class is right as often.

    Args:
        confusion: `(C, C)`: how many clips of each class (rows) got each prediction (columns).
        effect: How many of the clips are worth one, because they are alike.
    """
    n = confusion.sum()
    if not n:
        return 1.0
    share = confusion.sum(1).max() / n
    return at_least(np.trace(confusion) / effect, n / effect, float(share))


def p_of_classes(confusion: Array) -> Array:
    """`(C,)`: how probable it is that predictions by chance recognise each class as well.

    Args:
        confusion: `(C, C)` as above. Clips may count in parts: hits are rounded down, and others
            that get the class up.
    """
    own = np.rint(confusion.sum(1))
    n = own.sum()
    hits = np.minimum(np.floor(np.diag(confusion) + 1e-9), own)
    false = np.minimum(np.ceil(confusion.sum(0) - np.diag(confusion) - 1e-9), n - own)
    is_used = (confusion.sum(1) + confusion.sum(0)) > 0
    # With two classes, both tests are the same one.
    tests = 1 if is_used.sum() == 2 else (own > 0).sum()
    return np.asarray(np.minimum(1.0, tests * hypergeom.sf(hits - 1, n, own, hits + false)))


def p_of_either(of_accuracy: float, of_classes: Array) -> float:
    """How probable it is that guessing does as well in one of the two tests."""
    least = float(of_classes.min(initial=1.0))
    return min(1.0, of_accuracy / FOR_ACCURACY, least / (1 - FOR_ACCURACY))

"""Below which probability a prediction is unsure: by a setting, or so that few others are wrong."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

from learner.catalogue import automatic_rows

SUBJECT = "unsure_target"
"""The setting, under which the daemon shows a notice."""
DOUBTS = {
    "probability": "unsure: below its threshold",
    "unknown": "unsure: like none of the classes",
}
"""Why a prediction is unsure, for people, by what the database says of it."""
BY_LUCK = 0.2
"""How probable it may be that so few were wrong by luck, and the true share is the target."""


@dataclass(frozen=True)
class UnsureRule:
    """Below which probability the predictions of a model are unsure."""

    below: float
    """The threshold; infinite if all predictions are unsure."""
    target: float = 0.0
    """The setting `unsure_target`: the largest share of the others that may be wrong. 0: none."""
    share: float | None = None
    """The share of the clips that stays above the threshold, by cross-validation."""
    wrong: float | None = None
    """The share of these that was wrong, by cross-validation."""
    n: int | None = None
    """How many clips these are."""
    problem: str | None = None
    """Why the target cannot be kept, for people."""

    def in_words(self) -> str:
        """What the rule is, for people; empty if there is no target."""
        if not self.target:
            return ""
        if self.problem or self.wrong is None or self.n is None:
            return self.problem or ""
        n_wrong = f"{round(self.wrong * self.n)} of these {self.n} wrong"
        kept = f"{self.share:.1%} of the clips stay automatic, {n_wrong}"
        return f"unsure below {self.below:.1%}: {kept} in cross-validation (unsure_target)"

    def to_json(self) -> dict[str, Any]:
        """One object; the threshold is null if all predictions are unsure."""
        return {**asdict(self), "below": None if math.isinf(self.below) else self.below}


def unsure_rule(below: float, target: float, measured: Mapping[str, Any], model: str) -> UnsureRule:
    """The rule for the predictions of a model.

    The smallest threshold counts above which at most the target is wrong. Few clips show nothing
    about one in 50: so it must also be improbable (`BY_LUCK`) to see as few wrong ones by luck.
    This is the one-sided bound of Clopper and Pearson (1934), at 80 %.

    Args:
        below: The setting `unsure_below`. It counts if there is no target, and if the model does
            not say how often which probability is wrong.
        target: The setting `unsure_target`; 0 for none.
        measured: From the model's manifest.
        model: The model's name, for people.
    """
    if not target:
        return UnsureRule(below)
    rows = automatic_rows(measured)
    judged = measured.get("n")
    if rows is None or not isinstance(judged, int):
        reason = f"model {model} does not say how often which probability is wrong"
        text = f"{reason}: unsure_below ({below:g}) counts until a newer model is the champion"
        return UnsureRule(below, target, problem=text)
    for row in rows:
        n = round(row.share * judged)
        if _at_most(round(row.wrong * n), n, target) <= BY_LUCK:
            return UnsureRule(row.threshold, target, row.share, row.wrong, n)
    limit = f"at most {target:.1%} (unsure_target)"
    text = f"no probability of model {model} is shown to be wrong in {limit} of the clips"
    needed = next(n for n in count(1) if _at_most(0, n, target) <= BY_LUCK)
    if judged < needed:
        text += f", since it was judged by {judged}, and {needed} are needed"
    return UnsureRule(math.inf, target, 0.0, problem=f"{text}: all are unsure")


def _at_most(wrong: int, n: int, share: float) -> float:
    """How probable at most `wrong` of `n` are, if each is wrong with the probability `share`.

    Summed here: to import scipy would take longer than a whole status.
    """
    if share >= 1:
        return float(wrong >= n)
    of_none = n * math.log1p(-share)
    odds = math.log(share) - math.log1p(-share)
    choose = math.lgamma(n + 1)
    return sum(
        math.exp(choose - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * odds + of_none)
        for k in range(wrong + 1)
    )

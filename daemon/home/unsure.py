"""Below which probability a prediction is unsure: by a setting, or so that few others are wrong."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from learner.catalogue import automatic_rows

SUBJECT = "unsure_target"
"""The setting, under which the daemon shows a notice."""


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
    problem: str | None = None
    """Why the target cannot be kept, for people."""

    def in_words(self) -> str:
        """What the rule is, for people; empty if there is no target."""
        if not self.target:
            return ""
        if self.problem:
            return self.problem
        kept = f"{self.share:.1%} of the clips stay automatic, {self.wrong:.1%} of them wrong"
        return f"unsure below {self.below:.1%}: {kept} in cross-validation (unsure_target)"

    def to_json(self) -> dict[str, Any]:
        """One object; the threshold is null if all predictions are unsure."""
        return {**asdict(self), "below": None if math.isinf(self.below) else self.below}


def unsure_rule(below: float, target: float, measured: Mapping[str, Any], model: str) -> UnsureRule:
    """The rule for the predictions of a model.

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
    if rows is None:
        reason = f"model {model} does not say how often which probability is wrong"
        text = f"{reason}: unsure_below ({below:g}) counts until a newer model is the champion"
        return UnsureRule(below, target, problem=text)
    for row in rows:
        if row.wrong <= target:
            return UnsureRule(row.threshold, target, row.share, row.wrong)
    limit = f"at most {target:.1%} (unsure_target)"
    text = f"no probability of model {model} is wrong in {limit} of the clips: all are unsure"
    return UnsureRule(math.inf, target, 0.0, problem=text)

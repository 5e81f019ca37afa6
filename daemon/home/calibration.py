"""Probabilities of recorded logits, by what the manifest of their model says."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from daemon.home.folder import Home
from learner.errors import VidwatchError


class Calibration(NamedTuple):
    """As `learner.calibration` has it, which loads too much for what is to be there at once."""

    temperature: float
    bias: tuple[float, ...] = ()
    """Of each class; empty if there is none."""


def read_calibration(home: Home, model: str) -> Calibration | None:
    """What makes probabilities of a model's logits; None if it cannot be read."""
    try:
        manifest = home.manifest(model)
        bias = tuple(map(float, manifest.get("bias", ())))
        is_whole = len(bias) in (0, len(manifest["classes"]))
        return Calibration(float(manifest["temperature"]), bias) if is_whole else None
    except (VidwatchError, KeyError, TypeError, ValueError):
        return None


def probabilities(logits: Sequence[float], calibration: Calibration) -> list[float]:
    """The softmax of one clip's calibrated logits."""
    temperature, bias = calibration
    added = bias or (0.0,) * len(logits)
    calibrated = [logit / temperature + more for logit, more in zip(logits, added, strict=True)]
    highest = max(calibrated)
    exponents = [math.exp(logit - highest) for logit in calibrated]
    return [exponent / sum(exponents) for exponent in exponents]

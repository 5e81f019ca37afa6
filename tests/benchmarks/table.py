"""What each benchmark hands to the one table that `make bench` prints: a figure, and its baseline
of the same run.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` and `base` are in the same `unit`, of the same run, on the same clips; `aim` is on
    their ratio: "≤ 1.35".

    `model` and `device` name what ran, "-" where none did.
    """

    what: str
    value: float
    unit: str
    baseline: str
    base: float
    aim: str
    model: str = "-"
    device: str = "cpu"

    @property
    def ratio(self) -> float:
        """The figure as a multiple of its baseline."""
        return self.value / self.base

    @property
    def is_met(self) -> bool:
        """Whether the ratio is on the right side of the aim."""
        side, bound = self.aim.split()
        return self.ratio <= float(bound) if side == "≤" else self.ratio >= float(bound)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turns(*calls: Callable[[], object], rounds: int = 5) -> list[float]:
    """The median seconds of each call: all once to warm them, then `rounds` times in turns, on a
    machine with noise.
    """
    for call in calls:
        call()
    taken = [[seconds(call) for call in calls] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*taken, strict=True)]

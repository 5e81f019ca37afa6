"""How long this process has spent in each stage of the way of its videos, and what became of them.

Counted here and not in the database: to count the rows of millions of videos takes seconds.
"""

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Spent(NamedTuple):
    """What was spent in a stage."""

    times: int
    """How often it was done: a file decoded, or a batch predicted, recorded or filed."""
    seconds: float
    """In all. Stages run side by side, and so do several files in one."""


OUTCOMES = ("classified", "duplicate", "failed")

_spent: dict[str, Spent] = {}
_outcomes = dict.fromkeys(OUTCOMES, 0)
_adding = threading.Lock()


def timed(stage: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Count the time that a function takes as that of a stage; may be called by any thread."""

    def decorated(work: Callable[P, T]) -> Callable[P, T]:
        @wraps(work)
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            began = time.monotonic()
            try:
                return work(*args, **kwargs)
            finally:
                _add(stage, time.monotonic() - began)

        return measured

    return decorated


def spent() -> dict[str, Spent]:
    """What was spent in each stage since this process began."""
    with _adding:
        return dict(_spent)


def count(outcome: str, n: int) -> None:
    """Count what became of videos: one of `OUTCOMES`. May be called by any thread."""
    with _adding:
        _outcomes[outcome] += n


def outcomes() -> dict[str, int]:
    """What became of videos since this process began."""
    with _adding:
        return dict(_outcomes)


def _add(stage: str, seconds: float) -> None:
    with _adding:
        before = _spent.get(stage, Spent(0, 0.0))
        _spent[stage] = Spent(before.times + 1, before.seconds + seconds)

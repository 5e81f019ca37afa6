"""How long this process has spent in each stage of the way of its videos."""

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


_spent: dict[str, Spent] = {}
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


def _add(stage: str, seconds: float) -> None:
    with _adding:
        before = _spent.get(stage, Spent(0, 0.0))
        _spent[stage] = Spent(before.times + 1, before.seconds + seconds)

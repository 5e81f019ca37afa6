"""Keeps what takes long to count, and counts it again in the background.

A page waits a moment for the newest figures, and else shows those of before with their time.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from daemon.home.clock import now

T = TypeVar("T")

PATIENCE = 0.1  # seconds that a page waits for newer figures
LONGER_PATIENCE = 2.0  # after a change by this page
MOST_KEPT = 64  # by different questions
REST = 10.0  # times as long as a reading took: for so long it is not begun again


@dataclass(frozen=True)
class Kept(Generic[T]):
    """What was read, and when."""

    value: T
    at: datetime
    took: float
    """Seconds."""


@dataclass
class _Entry:
    future: "Future[Kept[Any]]"
    """The newest reading; it may still be going on."""
    begun_at: float
    """By the monotonic clock."""
    before: "Future[Kept[Any]] | None" = None
    """The reading before, if it gave something."""
    is_outdated: bool = False
    """Something was changed since it was begun."""
    is_after_change: bool = False
    """It was begun since something was changed: a person waits to see that."""


class Keeper:
    """Figures by their names. Calls may come from several threads."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        """Seconds for which a page waits for newer figures."""
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        # One at a time: several would only make each other slower. What a page waits for does not
        # queue behind what it does not wait for.
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="figures")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="slow-figures")

    def get(self, name: str, read: Callable[[], T], seconds: float) -> Kept[T]:
        """What `read` gave last; it is called again if that is older than `seconds`.

        The first call waits for it, a later one for `patience` at most.

        Raises:
            Exception: what `read` raised, if there is nothing of before.
        """
        entry = self._entry(self._quick, name, read, seconds)
        return self._newest(entry) if entry.before else entry.future.result()

    def soon(
        self,
        name: str,
        read: Callable[[], T],
        seconds: float,
        *,
        longer: float = LONGER_PATIENCE,
        is_quick: bool = False,
    ) -> Kept[T] | None:
        """As `get`, but the first call does not wait longer, either: None if there is nothing.

        Args:
            name: As for `get`, like `read` and `seconds`.
            read: What reads it.
            seconds: For which it is not read again.
            longer: Seconds that a page waits after a change by this page; 0 for `patience`.
            is_quick: Whether it takes a moment: then it does not queue behind what takes long.
        """
        entry = self._entry(self._quick if is_quick else self._slow, name, read, seconds)
        if entry.before:
            return self._newest(entry, longer if entry.is_after_change else 0)
        try:
            return entry.future.result(self.patience)
        except TimeoutError:
            return None

    def _newest(self, entry: _Entry, patience: float = 0) -> Kept[Any]:
        assert entry.before
        try:
            return entry.future.result(patience or self.patience)
        except Exception:
            # It takes longer, or failed: what was read before is true of its time.
            return entry.before.result()

    def forget(self) -> None:
        """Have everything read anew, since something was changed by this page."""
        with self._lock:
            for entry in self._entries.values():
                entry.is_outdated = True

    def close(self) -> None:
        """End the reading; what has not begun is not begun."""
        for pool in (self._quick, self._slow):
            pool.shutdown(cancel_futures=True)

    def _entry(
        self, pool: ThreadPoolExecutor, name: str, read: Callable[[], Any], seconds: float
    ) -> _Entry:
        moment = time.monotonic()
        with self._lock:
            entry = self._entries.get(name)
            if entry and not _is_old(entry, moment, seconds):
                return entry
            before = _before(entry) if entry else None
            is_after_change = entry is not None and entry.is_outdated
            future = pool.submit(_read, read)
            entry = _Entry(future, moment, before, is_after_change=is_after_change)
            self._entries.pop(name, None)
            self._entries[name] = entry
            while len(self._entries) > MOST_KEPT:
                del self._entries[next(iter(self._entries))]
            return entry


def _is_old(entry: _Entry, moment: float, seconds: float) -> bool:
    if entry.is_outdated:
        return True
    if not entry.future.done():
        return False
    has_given = entry.future.exception() is None
    rest = REST * entry.future.result().took if has_given else 0.0
    return entry.begun_at <= moment - max(seconds, rest)


def _before(entry: _Entry) -> "Future[Kept[Any]] | None":
    """The newest reading that has given something."""
    has_given = entry.future.done() and entry.future.exception() is None
    return entry.future if has_given else entry.before


def _read(read: Callable[[], T]) -> Kept[T]:
    at = now()
    began = time.monotonic()
    value = read()
    return Kept(value, at, time.monotonic() - began)

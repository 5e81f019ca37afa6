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

PATIENCE = 0.15  # seconds that a page waits for newer figures
MOST_KEPT = 64  # by different questions


@dataclass(frozen=True)
class Kept(Generic[T]):
    """What was read, and when."""

    value: T
    at: datetime


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

    def soon(self, name: str, read: Callable[[], T], seconds: float) -> Kept[T] | None:
        """As `get`, but the first call does not wait longer, either: None if there is nothing."""
        entry = self._entry(self._slow, name, read, seconds)
        if entry.before:
            return self._newest(entry)
        try:
            return entry.future.result(self.patience)
        except TimeoutError:
            return None

    def _newest(self, entry: _Entry) -> Kept[Any]:
        assert entry.before
        try:
            return entry.future.result(self.patience)
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
            if entry and not _is_old(entry, moment - seconds):
                return entry
            before = _before(entry) if entry else None
            entry = _Entry(pool.submit(_read, read), moment, before)
            self._entries.pop(name, None)
            self._entries[name] = entry
            while len(self._entries) > MOST_KEPT:
                del self._entries[next(iter(self._entries))]
            return entry


def _is_old(entry: _Entry, earliest: float) -> bool:
    return entry.is_outdated or (entry.future.done() and entry.begun_at <= earliest)


def _before(entry: _Entry) -> "Future[Kept[Any]] | None":
    """The newest reading that has given something."""
    has_given = entry.future.done() and entry.future.exception() is None
    return entry.future if has_given else entry.before


def _read(read: Callable[[], T]) -> Kept[T]:
    at = now()
    return Kept(read(), at)

"""Which touched paths have become whole. Pure: the clock and the look at a file come in as arguments."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from daemon.home.identity import Identity

# Of a file that its writer has closed or renamed, and that nobody else has open.
SETTLED_SOON = 0.25  # seconds


@dataclass
class _Seen:
    identity: Identity | None
    look_at: float
    moved: bool = False
    closed: bool = False


class Tracker:
    """Paths that were touched and are not whole yet.

    A file is whole when it looks the same after `settle` seconds, and nobody is known to have it open for writing. One
    that its writer has closed or renamed needs no more than `SETTLED_SOON`, where it is known that nobody has.
    """

    def __init__(self, settle: float) -> None:
        self.settle = settle
        self._seen: dict[bytes, _Seen] = {}

    def touch(self, path: bytes, now: float, *, closed: bool = False) -> None:
        """Something happened to `path`, or it was found: look at it. `closed`: its writer says that it is done."""
        seen = self._seen.setdefault(path, _Seen(None, now))
        if closed:
            self._seen[path] = _Seen(None, now, seen.moved, closed=True)

    def next_look(self) -> float:
        """When there is something to look at again; infinity where nothing is tracked."""
        return min((seen.look_at for seen in self._seen.values()), default=math.inf)

    def nothing_may_settle(self) -> bool:
        """Whether there is no path left but such that have changed, or were held open, since they were first seen."""
        return all(seen.moved for seen in self._seen.values())

    def whole(
        self,
        now: float,
        look: Callable[[bytes], Identity | None],
        is_written: Callable[[bytes], bool | None],
    ) -> list[tuple[bytes, Identity]]:
        """The paths that have become whole by `now`; they, and those that are gone, are tracked no longer."""
        found = []
        for path, seen in [item for item in self._seen.items() if item[1].look_at <= now]:
            identity = look(path)
            if identity is None:
                del self._seen[path]
                continue
            same = identity == seen.identity
            written = is_written(path) if same or seen.closed else None
            closed = seen.closed and written is False
            if same and (closed or not (seen.closed or written)):
                del self._seen[path]
                found.append((path, identity))
            else:
                moved = seen.moved or seen.identity is not None
                pause = min(SETTLED_SOON, self.settle) if closed else self.settle
                self._seen[path] = _Seen(identity, now + pause, moved, closed)
        return found

"""Which of the paths that were touched have become whole.

A file is whole when it is complete: nobody is writing to it any more.

No I/O: time and file access come as arguments.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daemon.home.identity import Identity

# A file counts as whole after this pause if its writer has closed or renamed it, and if no other
# program has it open.
SETTLED_SOON = 0.25  # seconds


@dataclass
class _Seen:
    """What is known of a path that is not whole yet."""

    identity: Identity | None
    """Of the file at the last look; None before the first look."""
    look_at: float
    """When to look again."""
    changed: bool = False
    """Whether it has changed, or was held open, since the first look."""
    closed: bool = False
    """Whether its writer has closed or renamed it."""


class Tracker:
    """Paths that were touched and are not whole yet.

    A file is whole if it is unchanged after `settle` seconds, and no program is known to have it
    open for writing. `SETTLED_SOON` is enough if its writer has closed or renamed it, and it is
    known that no program has it open.
    """

    def __init__(self, settle: float) -> None:
        self.settle = settle
        self._seen: dict[bytes, _Seen] = {}

    def touch(self, path: bytes, now: float, *, closed: bool = False) -> None:
        """Something happened to `path`, or a search found it: look at it.

        `closed`: its writer has closed or renamed it.
        """
        seen = self._seen.setdefault(path, _Seen(None, now))
        if closed:
            self._seen[path] = _Seen(None, now, seen.changed, closed=True)

    def next_look(self) -> float:
        """When the next path is to be looked at; infinity if nothing is tracked."""
        return min((seen.look_at for seen in self._seen.values()), default=math.inf)

    def all_still_changing(self) -> bool:
        """Whether all tracked paths have changed, or were held open, since the first look.

        If so, no file becomes whole within the settle time. It is also so if no path is tracked.
        """
        return all(seen.changed for seen in self._seen.values())

    def whole(
        self,
        now: float,
        look: Callable[[bytes], Identity | None],
        is_written: Callable[[bytes], bool | None],
    ) -> Iterator[tuple[bytes, Identity]]:
        """The paths that have become whole by `now`, as they are looked at one after the other.

        They are no longer tracked, and neither are the paths whose file is gone.

        Args:
            now: The time, on the same clock as for `touch`.
            look: Gives a file's identity; None if there is no file.
            is_written: Whether a program has the file open for writing; None if that is not known.
        """
        for path, seen in self._due(now):
            identity = look(path)
            if identity is None:
                del self._seen[path]
                continue
            same = identity == seen.identity
            written = is_written(path) if same or seen.closed else None
            # It counts as closed until some program opens it, or until we cannot tell. From then
            # on, it has to settle like any other file.
            closed = seen.closed and written is False
            is_at_rest = closed if seen.closed else not written
            if same and is_at_rest:
                del self._seen[path]
                yield path, identity
            else:
                changed = seen.changed or seen.identity is not None
                pause = min(SETTLED_SOON, self.settle) if closed else self.settle
                self._seen[path] = _Seen(identity, now + pause, changed, closed)

    def _due(self, now: float) -> list[tuple[bytes, _Seen]]:
        return [(path, seen) for path, seen in self._seen.items() if seen.look_at <= now]

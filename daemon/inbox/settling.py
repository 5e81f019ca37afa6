"""Which of the paths that were touched have become whole.

A file is whole when it is complete: nobody is writing to it any more.

No I/O: time and file access come as arguments.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from daemon.home.identity import Identity, Version

# A file counts as whole after this pause if its writer is known to be done with it, and if no other
# program has it open.
SETTLED_SOON = 0.25  # seconds
# File systems may round dates, by up to two seconds.
ROUNDED_NS = 3 * 10**9

Done = Literal["closed", "renamed"]
"""What its writer has done with a file last."""


@dataclass
class _Seen:
    """What is known of a path that is not whole yet."""

    identity: Identity | None
    """Of the file at the last look; None before the first look."""
    look_at: float
    """When to look again."""
    changed: bool = False
    """Whether it has changed, or was held open, since the first look."""
    done: Done | None = None
    """Whether its writer has closed or renamed it."""


class Tracker:
    """Paths that were touched and are not whole yet.

    A file is whole if it is unchanged after `settle` seconds, no program is known to have it open
    for writing, and nothing beside it shows that more of it is to come.

    `SETTLED_SOON` is enough if its writer has renamed it, or has closed it and given it an earlier
    date, and if it is known that no program has it open. Both are the last that a copy does. A
    writer that has only closed the file may still rename it, as cameras do that send by FTP, and
    would not find it any more.
    """

    def __init__(self, settle: float) -> None:
        self.settle = settle
        self._seen: dict[bytes, _Seen] = {}

    def touch(self, path: bytes, now: float, done: Done | None = None) -> None:
        """Something happened to `path`: look at it.

        `done`: what its writer has done with it, if that is known.
        """
        seen = self._seen.setdefault(path, _Seen(None, now))
        if done:
            self._seen[path] = _Seen(None, now, seen.changed, done)

    def found(self, path: bytes, identity: Identity, now: float) -> None:
        """A search has looked at `path` just now: look again when it may have settled."""
        self._seen.setdefault(path, _Seen(identity, now + self.settle))

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
        look: Callable[[bytes], Version | None],
        is_written: Callable[[bytes], bool | None],
        has_more_to_come: Callable[[bytes, Identity], bool] = lambda path, identity: False,
    ) -> Iterator[tuple[bytes, Identity]]:
        """The paths that have become whole by `now`, as they are looked at one after the other.

        They are no longer tracked, and neither are the paths whose file is gone.

        Args:
            now: The time, on the same clock as for `touch`.
            look: Gives a file's version; None if there is no file.
            is_written: Whether a program has the file open for writing; None if that is not known.
            has_more_to_come: Whether something beside the file shows that more of it is to come.
        """
        for path, seen in self._due(now):
            version = look(path)
            if version is None:
                del self._seen[path]
                continue
            identity = version.identity
            same = identity == seen.identity
            written = is_written(path) if same or seen.done else None
            # Its writer counts as done until some program opens the file, or until we cannot tell.
            # From then on, it has to settle like any other file.
            done = seen.done if written is False else None
            is_at_rest = done is not None if seen.done else not written
            if same and is_at_rest and not has_more_to_come(path, identity):
                del self._seen[path]
                yield path, identity
            else:
                changed = seen.changed or seen.identity is not None
                is_soon = done == "renamed" or (done == "closed" and _is_dated_back(version))
                pause = min(SETTLED_SOON, self.settle) if is_soon else self.settle
                self._seen[path] = _Seen(identity, now + pause, changed, done)

    def is_tracked(self, path: bytes) -> bool:
        """Whether a path was touched and is not whole yet."""
        return path in self._seen

    def _due(self, now: float) -> list[tuple[bytes, _Seen]]:
        return [(path, seen) for path, seen in self._seen.items() if seen.look_at <= now]


def _is_dated_back(version: Version) -> bool:
    """Whether a program has given a file an earlier date than that of its last change.

    Copies do so that keep the date of their original: `cp -p`, `mv` from another file system, file
    managers.
    """
    return version.identity.mtime_ns + ROUNDED_NS < version.ctime_ns

"""Which files are sidecars, and no clips, by what lies beside them.

A sidecar with its clip beside it waits for the clip. Alone, it is named, or counts as a clip.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from daemon.home.folders import Found
from daemon.home.identity import base_name, display_name
from daemon.home.sidecars import is_sidecar, stems_of_sidecar
from daemon.home.texts import shortened
from learner.classes import ONLY_SIDECARS
from learner.texts import counted, listed

FOLDERS = 64  # of which the names are kept
PAUSE = 1.0  # seconds between two notices
SELDOM = 20  # what took a second is done again after so many seconds
NAMED = 3  # sidecars that are named, at most


class _Listing(NamedTuple):
    """The names in a folder."""

    date: int
    """When the folder had changed, in nanoseconds."""
    beginnings: frozenset[bytes]
    """What the names of files that are no sidecars begin with, up to each dot, in lower case."""
    next_time: float
    """When the folder may be listed again."""
    is_old: bool = False
    """Whether the folder has changed since."""


class LoneSidecars:
    """Tells sidecars from clips among the files of some folders."""

    def __init__(
        self,
        patience: float,
        has_clip: Callable[[str], bool],
        note: Callable[[str | None], None],
        go_on: Callable[[], None],
    ) -> None:
        """No file is known yet.

        Args:
            patience: How many seconds a picture, a sound or an `.xml` waits for its clip. Then it
                counts as a clip, which fails.
            has_clip: Whether this is the name, without its ending, of a clip that came before.
            note: Shows which sidecars are alone, or takes that back (None).
            go_on: Called for each file that is looked at. An exception from it ends that.
        """
        self._go_on = go_on
        self._patience = patience
        self._has_clip = has_clip
        self._note = note
        self._listed: dict[bytes, _Listing] = {}
        # Since when files with an ending of sidecars are alone.
        self._since: dict[bytes, float] = {}
        # Those of them that are left where they are.
        self._left: set[bytes] = set()
        self._next_show = 0.0

    def clips(self, files: Sequence[Found]) -> list[Found]:
        """Those of the files that are no sidecars."""
        now = time.monotonic()
        found = [file for file in files if not self._is_left(file.path, now)]
        if now >= self._next_show:
            began = time.monotonic()
            self._show()
            self._next_show = max(_next_time(began), now + PAUSE)
        return found

    def _is_left(self, path: bytes, now: float) -> bool:
        self._go_on()
        name = base_name(path)
        if not is_sidecar(name):
            return False
        stems = stems_of_sidecar(name)
        listing = self._listing_of(os.path.dirname(path))
        if {stem.lower() for stem in stems} & listing.beginnings:
            self._left.discard(path)
            self._since.pop(path, None)
            return True
        since = self._since.setdefault(path, now)
        ending = os.fsdecode(os.path.splitext(name)[1]).lower()
        is_left = (
            ending in ONLY_SIDECARS
            or now - since < self._patience
            or listing.is_old  # its clip may have come: the next search knows
            # As the database has names: it takes no bytes that are not UTF-8.
            or any(self._has_clip(display_name(stem)) for stem in stems)
        )
        (self._left.add if is_left else self._left.discard)(path)
        return is_left

    def _listing_of(self, folder: bytes) -> "_Listing":
        """The names of all files in a folder that are no sidecars."""
        try:
            date = os.stat(folder).st_mtime_ns
            known = self._listed.get(folder)
            if known is not None:
                if known.date == date:
                    return known
                # While files are copied into a folder, its date changes with each one.
                if time.monotonic() < known.next_time:
                    return known._replace(is_old=True)
            while len(self._listed) >= FOLDERS:
                self._listed.pop(next(iter(self._listed)))
            began = time.monotonic()
            beginnings = self._beginnings_in(folder)
        except OSError:  # the file will not be found either
            return _Listing(0, frozenset(), 0.0)
        self._listed[folder] = _Listing(date, beginnings, _next_time(began))
        return self._listed[folder]

    def _beginnings_in(self, folder: bytes) -> frozenset[bytes]:
        found: set[bytes] = set()
        for name in map(os.fsencode, os.listdir(folder)):
            self._go_on()
            if not is_sidecar(name):
                found.update(_parts(name.lower()))
        return frozenset(found)

    def _show(self) -> None:
        """Name the sidecars that are alone."""
        for path in list(self._since):
            self._go_on()
            if not os.path.lexists(path):
                del self._since[path]
        self._left &= self._since.keys()
        alone = sorted(self._left)
        if not alone:
            self._note(None)
            return
        names = listed([shortened(os.fsdecode(base_name(path))) for path in alone], NAMED)
        what = f"{counted(len(alone), 'side file')} without the clip ({names})"
        self._note(f"{what}: put each beside its clip, or remove it")


def _next_time(began: float) -> float:
    """When something that is done now, and was begun then, may be done again."""
    now = time.monotonic()
    return now + SELDOM * (now - began)


def _parts(name: bytes) -> list[bytes]:
    """The name, and what stands before each of its dots."""
    ends = [at for at, byte in enumerate(name) if byte == ord(".")]
    return [name, *(name[:end] for end in ends if end)]

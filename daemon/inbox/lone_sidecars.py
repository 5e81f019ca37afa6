"""Which files are sidecars, and no clips, by what lies beside them.

A sidecar with its clip beside it waits for the clip. Alone, it is named, or counts as a clip.
"""

import os
import time
from collections.abc import Callable, Sequence

from daemon.home.folders import Found
from daemon.home.identity import base_name
from daemon.home.sidecars import is_sidecar, stems_of_sidecar
from daemon.home.texts import shortened
from learner.classes import ONLY_SIDECARS
from learner.texts import counted

FOLDERS = 64  # of which the names are kept
PAUSE = 1.0  # seconds
NAMED = 3  # sidecars that are named, at most


class LoneSidecars:
    """Tells sidecars from clips among the files of some folders."""

    def __init__(
        self,
        patience: float,
        has_clip: Callable[[str], bool],
        note: Callable[[str | None], None],
    ) -> None:
        """No file is known yet.

        Args:
            patience: How many seconds a picture, a sound or an `.xml` waits for its clip. Then it
                counts as a clip, which fails.
            has_clip: Whether this is the name, without its ending, of a clip that came before.
            note: Shows which sidecars are alone, or takes that back (None).
        """
        self._patience = patience
        self._has_clip = has_clip
        self._note = note
        # The beginnings of names in a folder, up to each dot, with the folder's date.
        self._beginnings: dict[bytes, tuple[int, frozenset[bytes]]] = {}
        # Since when files with an ending of sidecars are alone.
        self._since: dict[bytes, float] = {}
        # Those of them that are left where they are.
        self._left: set[bytes] = set()
        self._shown_at = 0.0

    def clips(self, files: Sequence[Found]) -> list[Found]:
        """Those of the files that are no sidecars."""
        now = time.monotonic()
        found = [file for file in files if not self._is_left(file.path, now)]
        if now >= self._shown_at + PAUSE:
            self._show()
            self._shown_at = now
        return found

    def _is_left(self, path: bytes, now: float) -> bool:
        name = base_name(path)
        if not is_sidecar(name):
            return False
        stems = stems_of_sidecar(name)
        if stems & self._beginnings_in(os.path.dirname(path)):
            self._left.discard(path)
            self._since.pop(path, None)
            return True
        since = self._since.setdefault(path, now)
        stem, ending = os.path.splitext(name)
        is_left = (
            os.fsdecode(ending).lower() in ONLY_SIDECARS
            or now - since < self._patience
            or self._has_clip(os.fsdecode(stem))
        )
        (self._left.add if is_left else self._left.discard)(path)
        return is_left

    def _beginnings_in(self, folder: bytes) -> frozenset[bytes]:
        """The beginnings of the names of all files in a folder that are no sidecars."""
        try:
            date = os.stat(folder).st_mtime_ns
            known = self._beginnings.get(folder)
            if known is None or known[0] != date:
                while len(self._beginnings) >= FOLDERS:
                    self._beginnings.pop(next(iter(self._beginnings)))
                names = (os.fsencode(name).lower() for name in os.listdir(folder))
                clips = [name for name in names if not is_sidecar(name)]
                known = (date, frozenset(part for name in clips for part in _parts(name)))
                self._beginnings[folder] = known
        except OSError:  # the file will not be found either
            return frozenset()
        return known[1]

    def _show(self) -> None:
        """Name the sidecars that are alone."""
        self._since = {path: at for path, at in self._since.items() if os.path.lexists(path)}
        self._left &= self._since.keys()
        alone = sorted(self._left)
        if not alone:
            self._note(None)
            return
        names = ", ".join(shortened(os.fsdecode(base_name(path))) for path in alone[:NAMED])
        more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
        what = f"{counted(len(alone), 'file')} of a camera without the clip ({names}{more})"
        self._note(f"{what}: put each beside its clip, or remove it")


def _parts(name: bytes) -> list[bytes]:
    """The name, and what stands before each of its dots."""
    ends = [at for at, byte in enumerate(name) if byte == ord(".")]
    return [name, *(name[:end] for end in ends if end)]

"""Sidecars: files that a camera writes beside a clip, under the clip's name. They go with it.

Such are thumbnails (`.THM`), small copies (`.LRV`), subtitles with positions (`.SRT`), and so on.
"""

import contextlib
import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence

from daemon.home.doors import Doors
from daemon.home.identity import base_name, display_name
from daemon.home.moving import copy_beside, fit, sweep_copies, sync_folders
from daemon.home.removable import require_removable
from daemon.home.sources import may_be_video
from daemon.home.texts import printable
from learner import files
from learner.classes import SIDECARS

log = logging.getLogger(__name__)

# What passes by itself: with these, a sidecar is tried again.
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN)
# A folder is listed again after so many times what that took: a twentieth of the time at most.
LISTED = 20
_SONY = re.compile(rb"(.+)m\d\d$", re.IGNORECASE)  # C0001M01.XML is of C0001.MP4
_GOPRO = re.compile(rb"g[hpx](\d{6})$")  # GL010001.LRV is of GX010001.MP4
_GOPRO_SMALL = re.compile(rb"gl\d{6}$", re.IGNORECASE)


def is_sidecar(path: bytes) -> bool:
    """Whether a file has an ending of sidecars."""
    return os.fsdecode(os.path.splitext(path)[1]).lower() in SIDECARS


def is_video_by_name(name: bytes) -> bool:
    """Whether the ending of a name does not say that the file is something else than a video."""
    return not is_sidecar(name) and may_be_video(name)


def stems_of_sidecar(name: bytes) -> set[bytes]:
    """What the names of this sidecar's clip may be without their endings."""
    stem, ending = os.path.splitext(name)
    stems = {stem}
    if ending.lower() == b".xml" and (match := _SONY.match(stem)):
        stems.add(match[1])
    if _GOPRO_SMALL.match(stem):
        kinds = b"HPX" if stem[1:2].isupper() else b"hpx"
        stems |= {b"%s%c%s" % (stem[:1], kind, stem[2:]) for kind in kinds}
    return stems


class Sidecars:
    """Moves sidecars after their clips, in the home at `root`."""

    def __init__(self, root: bytes, sources: Sequence[bytes] = ()) -> None:
        """Make it.

        Args:
            root: The home.
            sources: The folders beside it that clips come from.
        """
        self._doors = Doors(root, sources)
        # A folder, until when its listing counts, and its sidecars by their stems.
        self._listed: tuple[bytes, float, dict[bytes, list[bytes]]] | None = None

    def follow(
        self, source: bytes, target: bytes, progress: Callable[[], None] = lambda: None
    ) -> None:
        """Move the sidecars of a clip after it; called again after a crash, it completes that.

        They get the new name of the clip. Nothing is overwritten: if that name is taken, they get
        the clip's whole name before their ending, and if that is taken, too, they stay. One that
        cannot be moved stays, too: the clip is where it belongs, and does not wait for it.

        Args:
            source: Where the clip was.
            target: Where it is.
            progress: Called now and then. An exception from it ends this.

        Raises:
            OSError: one cannot be moved now, as there is no space or it is still being written.
        """
        clip = base_name(source)
        if source == target or is_sidecar(clip):
            return
        folder = os.path.dirname(source)
        for name in self._names(folder, clip):
            sidecar = folder + b"/" + name
            beside = os.path.dirname(target) + b"/"
            new = base_name(target)
            names = (_renamed(name, clip, new), fit(new, os.path.splitext(name)[1]))
            try:
                self._move(sidecar, [beside + each for each in names], progress)
            except OSError as error:
                if error.errno in PASSING:
                    raise
                text = "%s: a sidecar, left where it is (%s)"
                log.warning(text, printable(display_name(sidecar)), error.strerror)

    def follow_if_possible(
        self, source: bytes, target: bytes, progress: Callable[[], None]
    ) -> None:
        """As `follow`; those that cannot be moved now stay where they are, with a warning."""
        try:
            self.follow(source, target, progress)
        except OSError as error:
            text = "%s: its sidecars are left where they are (%s)"
            log.warning(text, printable(display_name(source)), error.strerror)

    def beside(self, clip: bytes) -> list[bytes]:
        """The paths of a clip's sidecars, where the clip lies or lay."""
        folder = os.path.dirname(clip)
        return [folder + b"/" + name for name in self._names(folder, base_name(clip))]

    def _names(self, folder: bytes, clip: bytes) -> list[bytes]:
        """The names of a clip's sidecars in a folder; none if it cannot be read."""
        try:
            return self._of(folder, clip)
        except OSError as error:
            text = "%s: its sidecars, if it has any, are left where they are (%s)"
            log.warning(text, printable(display_name(clip)), error.strerror)
            return []

    def _of(self, folder: bytes, clip: bytes) -> list[bytes]:
        listed = self._listed
        began = time.monotonic()
        if listed is None or listed[0] != folder or began > listed[1]:
            by_stem = _by_stem(self._doors.names(folder))
            ended = time.monotonic()
            listed = (folder, ended + LISTED * (ended - began), by_stem)
            self._listed = listed
        stems = {clip.lower(), os.path.splitext(clip.lower())[0]}
        return sorted({name for stem in stems for name in listed[2].get(stem, ())})

    def _move(self, source: bytes, names: list[bytes], progress: Callable[[], None]) -> None:
        """Move a sidecar to the first of these names that is free."""
        if self._doors.identify(source) is None:
            return
        with self._doors.folder(os.path.dirname(names[0]), create=True):
            pass
        for target in names:
            try:
                self._rename(source, target, progress)
            except FileExistsError:
                # A copy of it, whose original a crash has left, or somebody's.
                if not self._is_same(source, target, progress):
                    continue
                require_removable(source)
                self._doors.remove(source)
            return
        text = "%s: a sidecar, left where it is: its names beside the clip are taken"
        log.warning(text, printable(display_name(source)))

    def _rename(self, source: bytes, target: bytes, progress: Callable[[], None]) -> None:
        """Rename a file, also to another file system, and never over another one.

        The copy has its name before the original is removed: whenever this ends, the next time
        finds one or both of them.
        """
        try:
            self._doors.rename(source, target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        require_removable(source)
        before = self._doors.identify(source)
        if before is None:
            return
        with self._doors.open(source) as file:
            sha256 = files.sha256_of_open(file, progress)
        sweep_copies(self._doors, target, before, sha256, progress)
        part = copy_beside(self._doors, source, target, before, progress)
        try:
            if self._doors.identify(source) != before:
                raise OSError(errno.EAGAIN, "it is still being written")
            self._doors.rename(part, target)
        except BaseException:
            with contextlib.suppress(OSError):
                self._doors.remove(part)
            raise
        sync_folders({os.path.dirname(target)})
        self._doors.remove(source)

    def _is_same(self, one: bytes, other: bytes, progress: Callable[[], None]) -> bool:
        found = [self._doors.identify(path) for path in (one, other)]
        sizes = [identity.size if identity else None for identity in found]
        if None in sizes or sizes[0] != sizes[1]:
            return False
        with self._doors.open(one) as first, self._doors.open(other) as second:
            digest = files.sha256_of_open(first, progress)
            return digest == files.sha256_of_open(second, progress)


def _by_stem(names: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name in names:
        if is_sidecar(name) and not name.startswith(b"."):
            for stem in stems_of_sidecar(name.lower()):
                found.setdefault(stem, []).append(name)
    return found


def _renamed(sidecar: bytes, clip: bytes, new: bytes) -> bytes:
    """The name of a sidecar if its clip is renamed to `new`."""
    old_stem = os.path.splitext(clip)[0]
    new_stem = os.path.splitext(new)[0]
    if os.path.splitext(sidecar.lower())[0] == clip.lower():
        return fit(new, os.path.splitext(sidecar)[1])
    rest = sidecar[len(old_stem) :]
    if not sidecar.lower().startswith(old_stem.lower()) and _GOPRO.match(old_stem.lower()):
        return fit(sidecar[:2] + new_stem[2:], rest)
    return fit(new_stem, rest)

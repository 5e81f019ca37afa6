"""Which files beside a file show that more of it is to come, though its own name does not."""

import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile

# Files in which programs keep how far a download is. They are removed when it is whole.
_NOTES = (b".aria2", b".lftp-pget-status", b".st")
# A part of a video as yt-dlp names it: sound and pictures come one after the other, and are then
# made one file.
_STREAM = re.compile(rb"(.+)\.f\d+(?:-\w+)?\.\w+$")
_BROTHER = re.compile(rb"\.(?:f\d+(?:-\w+)?|temp)\.[\w.-]+$")
_PARTS = (b".part", b".crdownload", b".download", b".opdownload", b".tmp")


def more_to_come(
    name: bytes, size: int, folder: int, names: Callable[[int], Sequence[bytes]]
) -> bytes | None:
    """The name of a file that shows that more of another one is to come; None if none does.

    Args:
        name: The other file's name.
        size: Its size in bytes.
        folder: The descriptor of the folder that both lie in.
        names: Gives the names in a folder by its descriptor, sorted. Asked for seldom.

    Raises:
        OSError: the folder cannot be read.
    """
    for ending in _NOTES:
        if _is_there(name + ending, folder):
            return name + ending
    if match := _STREAM.match(name):
        stem = match[1]
        brothers = (other for other in _beginning(names(folder), stem) if other != name)
        return next((other for other in brothers if _BROTHER.match(other[len(stem) :])), None)
    if size == 0:  # a browser holds the name free, and writes into another file
        stem = os.path.splitext(name)[0]
        parts = (other for other in _beginning(names(folder), stem) if other != name)
        return next((other for other in parts if other.endswith(_PARTS)), None)
    return None


def _is_there(name: bytes, folder: int) -> bool:
    # As a rule there is none, and an exception for each would take twice the time.
    return os.access(name, os.F_OK, dir_fd=folder)


def _beginning(names: Sequence[bytes], stem: bytes) -> Iterator[bytes]:
    """Those of the sorted names that begin with a stem."""
    first = bisect_left(names, stem)
    following = (names[at] for at in range(first, len(names)))
    return takewhile(lambda name: name.startswith(stem), following)


def names_in(folder: int) -> list[bytes]:
    """The names in an open folder, sorted."""
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return sorted(map(os.fsencode, os.listdir(listed)))
    finally:
        os.close(listed)

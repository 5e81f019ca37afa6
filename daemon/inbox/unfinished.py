"""Which files beside a file show that more of it is to come, though its own name does not."""

import os
import re

# Files in which programs keep how far a download is. They are removed when it is whole.
_NOTES = (b".aria2", b".lftp-pget-status", b".st")
# A part of a video as yt-dlp names it: sound and pictures come one after the other, and are then
# made one file.
_STREAM = re.compile(rb"(.+)\.f\d+(?:-\w+)?\.\w+$")
_BROTHER = re.compile(rb"\.(?:f\d+(?:-\w+)?|temp)\.[\w.-]+$")
_PARTS = (b".part", b".crdownload", b".download", b".opdownload", b".tmp")


def more_to_come(name: bytes, size: int, folder: int) -> bytes | None:
    """The name of a file that shows that more of another one is to come; None if none does.

    Args:
        name: The other file's name.
        size: Its size in bytes.
        folder: The descriptor of the folder that both lie in.

    Raises:
        OSError: the folder cannot be read.
    """
    for ending in _NOTES:
        if _is_there(name + ending, folder):
            return name + ending
    if match := _STREAM.match(name):
        stem = match[1]
        brothers = (other for other in _names(folder) if other != name and other.startswith(stem))
        return next((other for other in brothers if _BROTHER.match(other[len(stem) :])), None)
    if size == 0:  # a browser holds the name free, and writes into another file
        stem = os.path.splitext(name)[0]
        parts = (other for other in _names(folder) if other.startswith(stem))
        return next((other for other in parts if other != name and other.endswith(_PARTS)), None)
    return None


def _is_there(name: bytes, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def _names(folder: int) -> list[bytes]:
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return sorted(map(os.fsencode, os.listdir(listed)))
    finally:
        os.close(listed)

"""Writes a subtitle file beside a video. As a sidecar, it goes wherever its clip goes."""

import contextlib
import errno
import os
import secrets

from daemon.home.doors import Doors
from daemon.home.identity import base_name
from daemon.home.moving import fit
from daemon.home.texts import printable
from learner.errors import VidwatchError

ENDING = b".vtt"
HEAD_READ = 1000  # bytes


def write_subtitles(doors: Doors, video: bytes, text: str, is_ours: str) -> bytes:
    """Write the subtitles of the video at a path; gives the path of their file.

    They get the video's name with another ending, as players look for it. If a file of somebody
    else has that name, they get the video's whole name before the ending. A file of ours of the
    same video is replaced.

    Args:
        doors: Of the home.
        video: The video's path.
        text: The subtitles.
        is_ours: What a file of ours of this video begins with.

    Raises:
        VidwatchError: both names are taken by files of somebody else, or the video lies outside of
            the home, where nothing is written.
        OSError: the video is not there, or nothing can be written beside it.
    """
    if not doors.is_inside(video):
        raise VidwatchError("it lies outside of the home, where nothing is written beside it")
    if doors.identify(video) is None:
        raise FileNotFoundError(errno.ENOENT, "the video is not there")
    folder = os.path.dirname(video) + b"/"
    name = base_name(video)
    part = folder + b".vidwatch-" + secrets.token_hex(8).encode() + ENDING
    names = [fit(stem, ENDING) for stem in (os.path.splitext(name)[0], name)]
    try:
        _write(doors, part, text)
        target = next((n for n in names if _take_name(doors, part, folder + n, is_ours)), None)
    except BaseException:
        with contextlib.suppress(OSError):
            doors.remove(part)
        raise
    if target is not None:
        return folder + target
    doors.remove(part)
    reason = "is a file of somebody else, and is left as it is; rename it"
    raise VidwatchError(f"{printable(os.fsdecode(folder + names[-1]))} {reason}")


def _write(doors: Doors, path: bytes, text: str) -> None:
    with doors.create(path) as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _take_name(doors: Doors, part: bytes, target: bytes, is_ours: str) -> bool:
    """Give a file its name; False if somebody else's file has it."""
    try:
        doors.rename(part, target)
        return True
    except FileExistsError:
        pass
    try:
        with doors.open(target) as file:
            if not file.read(HEAD_READ).startswith(is_ours.encode()):
                return False
    except OSError:  # a folder, a link, or a file that may not be read
        return False
    doors.replace(part, target)
    return True

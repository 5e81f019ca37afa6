"""The texts beside failed videos, which say why each failed."""

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from daemon.home.doors import Doors
from daemon.home.folders import DEFAULT, OUR_FOLDERS, Found, files_below
from daemon.home.left_alone import LeftAlone
from daemon.home.moving import fit, numbered
from learner.folders import new_name, walk

REASON = b"vidwatch: "  # each text that says why a video failed begins with it
RETRY = b"To try it again, move the video back into the inbox.\n"
NO_RETRY = b"To try it again does not help. If it should be a video, get another copy of it.\n"
NO_CONTENT = b"It has no content. See whether the original has any, and copy that again.\n"
A_PART = (
    b"Only a part of it is there. Copy it again from where it came from. If no whole copy is left, "
    b"\nset min_read_share lower in vidwatch.toml, restart the daemon, and move it back into the "
    b"inbox:\nthen the part is classified, if any of it can be read.\n"
)
EMPTY = "the file is empty"  # so begins the reason why an empty file failed
CUT_SHORT = "cut short"  # and why one failed of which too little is there
NO_VIDEO = "not a video"  # so begins the reason why a text, a picture or a sound failed
_PART = re.compile(rb"\.vidwatch-[0-9a-f]{16}\.part")


def write_reason(path: bytes, reason: str, root: bytes) -> None:
    """Write a text file beside `path` that says why it was not classified.

    It replaces an earlier text about that file. Nothing is written if the file itself is such a
    text, which came back to the inbox with its video. What a crash left of such texts in the folder
    is removed. `root` is the home.
    """
    doors = Doors(root)
    folder, name = os.path.split(path)
    opening = REASON + name + b" was not classified.\n"
    if _begins(doors, path, REASON):
        return
    text = opening + b"\n" + reason.encode("utf-8", "backslashreplace") + b"\n\n"
    text += _advice(reason)
    first = folder + b"/" + fit(name, b".txt")
    _sweep(doors, folder)
    part = folder + b"/" + os.fsencode(new_name())
    with doors.create(part) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        for target in itertools.chain([first], numbered(path + b".txt")):
            if _begins(doors, target, opening):
                doors.replace(part, target)
                return
            with contextlib.suppress(FileExistsError):
                doors.rename(part, target)
                return
    except BaseException:
        with contextlib.suppress(OSError):
            doors.remove(part)
        raise


def remove_reason(path: bytes, root: bytes) -> None:
    """Remove the texts beside `path` that say why it was not classified: it is tried again.

    Only texts of ours about a file of that name go. `root` is the home.

    Raises:
        OSError: one cannot be removed.
    """
    doors = Doors(root)
    folder, name = os.path.split(path)
    opening = REASON + name + b" was not classified.\n"
    for target in itertools.chain([folder + b"/" + fit(name, b".txt")], numbered(path + b".txt")):
        if not doors.is_taken(target):
            return
        if _begins(doors, target, opening):
            doors.remove(target)


def _sweep(doors: Doors, folder: bytes) -> None:
    """Remove the texts in a folder that were not completed. Only one daemon writes there."""
    for name in doors.names(folder):
        path = folder + b"/" + name
        if _PART.fullmatch(name) and _begins(doors, path, REASON, or_is_empty=True):
            with contextlib.suppress(OSError):  # somebody else's file
                doors.remove(path)


def _advice(reason: str) -> bytes:
    """What a person can do about a video that failed for this reason."""
    advice = {NO_VIDEO: NO_RETRY, EMPTY: NO_CONTENT, CUT_SHORT: A_PART}
    return next((text for begin, text in advice.items() if reason.startswith(begin)), RETRY)


def reason_texts(failed: Path) -> dict[bytes, list[bytes]]:
    """Our texts below `failed/` that say why a video failed, by the path of that video."""
    texts: dict[bytes, list[bytes]] = {}
    doors = Doors(os.fsencode(failed.parent))
    for _, folder, names in walk(failed):
        for path in (os.path.join(folder, name) for name in names if name.endswith(b".txt")):
            if name := _subject_of(doors, path):
                texts.setdefault(os.path.join(folder, name), []).append(path)
    return texts


def our_files(
    root: Path,
    texts: Mapping[bytes, list[bytes]],
    trouble: Callable[[OSError], object] = lambda error: None,
    left_alone: LeftAlone = DEFAULT,
) -> Iterator[list[Found]]:
    """The files in the folders of the home at `root` that only we fill, some at a time.

    Our texts about failed videos, as `reason_texts` gives them, are left out. `trouble` gets the
    error of each folder that cannot be searched, unless it does not exist. What is `left_alone` is
    left out, too.
    """

    def unless_missing(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            trouble(error)

    own = {text for of_video in texts.values() for text in of_video}
    for name in OUR_FOLDERS:
        for files_there in files_below(root / name, unless_missing, left_alone):
            yield [file for file in files_there if file.path not in own]


def _begins(doors: Doors, path: bytes, opening: bytes, *, or_is_empty: bool = False) -> bool:
    if doors.identify(path) is None:
        return False
    try:
        with doors.open(path) as file:
            begin = file.read(len(opening))
            return begin == opening or (or_is_empty and not begin)
    except OSError:  # a failed video that this user may not read
        return False


def _subject_of(doors: Doors, path: bytes) -> bytes | None:
    """The name of the video in the first line of a text of ours; None if it is no such text."""
    try:
        with doors.open(path) as file:
            opening, ending, _ = file.read(1000).partition(b" was not classified.\n")
    except OSError:
        return None
    if ending and opening.startswith(REASON):
        return opening[len(REASON) :]
    return None

"""Moves that never overwrite a file and can be repeated, and the texts beside failed videos.

Knows no video and no database.
"""

import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from daemon.home.doors import Doors
from daemon.home.folders import OUR_FOLDERS, Found, files_below
from daemon.home.identity import Identity, base_name
from learner import files
from learner.folders import new_name

log = logging.getLogger(__name__)

LONGEST_NAME = 255  # bytes
REASON = b"vidwatch: "  # each text that says why a video failed begins with it
RETRY = b"To try it again, move the video back into the inbox.\n"
NO_RETRY = b"To try it again does not help. If it should be a video, get another copy of it.\n"
NO_VIDEO = "not a video"  # so begins the reason why a text, a picture or a sound failed
PIECE = 2**23  # bytes: what a slow disk writes before a person gets tired of waiting for a stop


def move_file(
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    redirect: Callable[[bytes], None],
    progress: Callable[[], None] = lambda: None,
    *,
    root: bytes,
) -> bytes | None:
    """Move a file to `target`, or to a numbered name beside it if that name is taken.

    Called again after a crash, it completes the move. To another file system, the file is copied.

    Args:
        source: Where the file is.
        target: Where it is to be.
        identity: Identifies the file: only this one is moved.
        sha256: Of its content. After a crash, a copy of it is recognised by this; if None, by its
            modification time.
        redirect: Gets the numbered name before anything moves, to record it.
        progress: Called now and then while the file is copied. An exception from it ends that.
        root: The home. Links are followed in its path and in its own folders, and nowhere below.

    Returns:
        Where the file is now; None if a person has taken it away or changed it.

    Raises:
        OSError: it cannot be moved now.
    """
    doors = Doors(root)
    if doors.identify(target) == identity:
        return target
    if doors.identify(source) != identity:
        # A file that goes to another file system is copied: the copy is whole before the original
        # is removed.
        copies = _copies(doors, target, identity)
        whole = (copy for copy in copies if _is_copy(doors, copy, identity, sha256, progress))
        if part := next(whole, None):
            source = part
        elif _is_copy(doors, target, identity, sha256, progress):
            return target
        else:
            return None
    with doors.folder(os.path.dirname(target), create=True):
        pass
    while True:
        try:
            doors.rename(source, target)
            return target
        except FileExistsError:
            target = next(name for name in _numbered(target) if not doors.is_taken(name))
            redirect(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            part = _copy(doors, source, target, identity, progress)
            if doors.identify(source) != identity:  # a program wrote to it meanwhile
                doors.remove(part)
                return None
            doors.remove(source)
            source = part


def write_reason(path: bytes, reason: str, root: bytes) -> None:
    """Write a text file beside `path` that says why it was not classified.

    It replaces an earlier text about that file. Nothing is written if the file itself is such a
    text, which came back to the inbox with its video. `root` is the home.
    """
    doors = Doors(root)
    folder, name = os.path.split(path)
    opening = REASON + name + b" was not classified.\n"
    if _begins(doors, path, REASON):
        return
    text = opening + b"\n" + reason.encode("utf-8", "backslashreplace") + b"\n\n"
    text += NO_RETRY if reason.startswith(NO_VIDEO) else RETRY
    first = folder + b"/" + _fit(name, b".txt")
    part = folder + b"/" + os.fsencode(new_name())
    with doors.create(part) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        for target in itertools.chain([first], _numbered(path + b".txt")):
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


def sync_folders(paths: set[bytes]) -> None:
    """Make moves between these folders durable: they last through a power cut.

    Not every file system can promise that; then there is a warning.
    """
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # someone removed the folder that a file came from
            continue
        try:
            os.fsync(descriptor)
        except OSError as error:
            text = "folder %r: a power cut may undo the last moves (%s)"
            log.warning(text, os.fsdecode(path), error.strerror)
        finally:
            os.close(descriptor)


def _copies(doors: Doors, target: bytes, identity: Identity) -> list[bytes]:
    """The copies of a file in the folder of `target` that have not got their names yet."""
    folder = os.path.dirname(target)
    # Versions before wrote them without the part that nobody can guess.
    begin = b".vidwatch-%d-%d" % (identity.inode, identity.size)
    names = [name for name in doors.names(folder) if name.startswith((begin + b"-", begin + b"."))]
    return [folder + b"/" + name for name in names]


def _is_copy(
    doors: Doors,
    path: bytes,
    identity: Identity,
    sha256: str | None,
    progress: Callable[[], None],
) -> bool:
    there = doors.identify(path)
    if there is None or there.size != identity.size:
        return False
    if sha256 is None:
        return there.mtime_ns == identity.mtime_ns
    with doors.open(path) as file:
        return files.sha256_of_open(file, progress) == sha256


def _copy(
    doors: Doors, source: bytes, target: bytes, identity: Identity, progress: Callable[[], None]
) -> bytes:
    """Copy a file into the folder of `target`. The copy lasts through a power cut.

    It has the times and the rights of the original, but for the right to run as its owner: a copy
    is ours. Copies of this file that are left from a crash are removed, as it is itself if it
    cannot be completed. Returns the path of the copy.
    """
    for left in _copies(doors, target, identity):
        with contextlib.suppress(OSError):  # somebody else's folder may have such a name
            doors.remove(left)
    folder = os.path.dirname(target)
    name = new_name(f"{identity.inode}-{identity.size}-")
    part = folder + b"/" + os.fsencode(name)
    try:
        with doors.open(source) as original, doors.create(part, 0o600) as copy:
            while piece := original.read(PIECE):
                copy.write(piece)
                # If it was synced only at the end, that could take minutes without `progress`.
                os.fdatasync(copy.fileno())
                progress()
            copy.flush()
            _copy_attributes(original.fileno(), copy.fileno())
            os.fsync(copy.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            doors.remove(part)
        raise
    sync_folders({folder})
    return part


def _copy_attributes(original: int, copy: int) -> None:
    info = os.fstat(original)
    os.fchmod(copy, info.st_mode & 0o777)
    with contextlib.suppress(OSError):  # the file system has none
        for name in os.listxattr(original):
            if name.startswith("user."):
                os.setxattr(copy, name, os.getxattr(original, name))
    os.utime(copy, ns=(info.st_atime_ns, info.st_mtime_ns))


def _numbered(path: bytes) -> Iterator[bytes]:
    """`a-2.mp4`, `a-3.mp4` and so on."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    for number in itertools.count(2):
        yield folder + b"/" + _fit(stem, b"-%d" % number + ending[:64])


def _fit(name: bytes, ending: bytes) -> bytes:
    """The name with `ending`, shortened if it would be too long.

    It is never cut within a UTF-8 character.
    """
    short = name[: LONGEST_NAME - len(ending)]
    if short != name:
        short = os.fsencode(short.decode("utf-8", "ignore")) or short
    return short + ending


def _begins(doors: Doors, path: bytes, opening: bytes) -> bool:
    if doors.identify(path) is None:
        return False
    try:
        with doors.open(path) as file:
            return file.read(len(opening)) == opening
    except OSError:  # a failed video that this user may not read
        return False


def put_back(file: Found, inbox: Path, name: bytes | None = None) -> bytes | None:
    """Move a file into the inbox, under its own name or `name`, with a number if that is taken.

    It goes into the inbox itself: a folder in it would count as the group of all files in it.

    Returns:
        Where the file is now; None if it has changed meanwhile.

    Raises:
        OSError: it cannot be moved.
    """
    target = os.path.join(os.fsencode(inbox), name or base_name(file.path))
    root = os.fsencode(inbox.parent)
    placed = move_file(file.path, target, file.identity, None, lambda _: None, root=root)
    sync_folders({os.path.dirname(file.path), os.fsencode(inbox)})
    return placed


def reason_texts(failed: Path) -> dict[bytes, list[bytes]]:
    """Our texts in `failed/` that say why a video failed, by the path of that video."""
    texts: dict[bytes, list[bytes]] = {}
    doors = Doors(os.fsencode(failed.parent))
    for path in (os.fsencode(found) for found in failed.glob("*.txt")):
        if name := _subject_of(doors, path):
            video = os.path.join(os.path.dirname(path), name)
            texts.setdefault(video, []).append(path)
    return texts


def our_files(
    root: Path,
    texts: Mapping[bytes, list[bytes]],
    trouble: Callable[[OSError], object] = lambda error: None,
) -> Iterator[list[Found]]:
    """The files in the folders of the home at `root` that only we fill, some at a time.

    Our texts about failed videos, as `reason_texts` gives them, are left out. `trouble` gets the
    error of each folder that cannot be searched, unless it does not exist.
    """

    def unless_missing(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            trouble(error)

    own = {text for of_video in texts.values() for text in of_video}
    for name in OUR_FOLDERS:
        for files_there in files_below(root / name, unless_missing):
            yield [file for file in files_there if file.path not in own]


def sha256_if_readable(path: bytes) -> str | None:
    """The SHA-256 of a file's content; None if it cannot be read. Links are not followed."""
    try:
        return files.sha256_of(path, follow_links=False)
    except OSError:
        return None


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

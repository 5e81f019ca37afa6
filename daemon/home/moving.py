"""Moves that never overwrite a file and can be repeated, and the texts beside failed videos.

Knows no video and no database.
"""

import contextlib
import ctypes
import errno
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from daemon.home.folders import OUR_FOLDERS, Found, files_below
from daemon.home.identity import Identity, base_name, identify
from daemon.home.removable import is_one_name, require_removable
from learner import files

log = logging.getLogger(__name__)

LONGEST_NAME = 255  # bytes
REASON = b"vidwatch: "  # each text that says why a video failed begins with it
RETRY = b"To try it again, move the video back into the inbox.\n"
NO_RETRY = b"To try it again does not help. If it should be a video, get another copy of it.\n"
NO_VIDEO = "not a video"  # so begins the reason why a text, a picture or a sound failed
PIECE = 2**26  # bytes
# Constants of renameat2(2).
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


def move_file(
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    redirect: Callable[[bytes], None],
    progress: Callable[[], None] = lambda: None,
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

    Returns:
        Where the file is now; None if a person has taken it away or changed it.

    Raises:
        OSError: it cannot be moved now.
    """
    found = identify(source)
    # Its file system may have another number by now.
    is_there = found is not None and found.has_numbers_of(identity)
    if _is_done(source, target, found if is_there else None, identity):
        return target
    part = _part_of(target, identity)
    if not is_there:
        # A file that goes to another file system is copied: the copy is whole before the original
        # is removed.
        if _is_copy(part, identity, sha256, progress):
            source = part
        elif _is_copy(target, identity, sha256, progress):
            return target
        else:
            return None
    os.makedirs(os.path.dirname(target), exist_ok=True)
    while True:
        try:
            rename(source, target)
            return target
        except FileExistsError:
            target = next(name for name in numbered(target) if not os.path.lexists(name))
            redirect(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            if not _copy_and_remove(source, part, progress):
                return None
            source = part


def write_reason(path: bytes, reason: str) -> None:
    """Write a text file beside `path` that says why it was not classified.

    It replaces an earlier text about that file. Nothing is written if the file itself is such a
    text, which came back to the inbox with its video.
    """
    folder, name = os.path.split(path)
    opening = REASON + name + b" was not classified.\n"
    if _begins(path, REASON):
        return
    text = opening + b"\n" + reason.encode("utf-8", "backslashreplace") + b"\n\n"
    text += NO_RETRY if reason.startswith(NO_VIDEO) else RETRY
    first = folder + b"/" + _fit(name, b".txt")
    candidates = itertools.chain([first], numbered(path + b".txt"))
    target = next(
        candidate
        for candidate in candidates
        if not os.path.lexists(candidate) or _begins(candidate, opening)
    )
    part = folder + b"/." + _fit(name[:200], b".txt.part")
    with open(part, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)


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


def _is_done(source: bytes, target: bytes, found: Identity | None, identity: Identity) -> bool:
    """Whether the file is at `target`, and has no other name at `source`.

    `found` is the file at `source`, None if it is not there.
    """
    if found is None:
        return identify(target) == identity
    return identify(target) == found and is_one_name(source, target)


def _copy_and_remove(source: bytes, part: bytes, progress: Callable[[], None]) -> bool:
    """Put a copy of a file in its stead; False if a program wrote to the file meanwhile.

    If the file cannot be removed, the copy is.
    """
    require_removable(source)
    before = identify(source)
    _copy(source, part, progress)
    if identify(source) != before:
        os.unlink(part)
        return False
    try:
        os.unlink(source)
    except FileNotFoundError:  # an NFS client may repeat a removal that succeeded
        pass
    except OSError:
        os.unlink(part)
        raise
    return True


def _part_of(target: bytes, identity: Identity) -> bytes:
    return os.path.dirname(target) + b"/.vidwatch-%d-%d.part" % (identity.inode, identity.size)


def _is_copy(
    path: bytes, identity: Identity, sha256: str | None, progress: Callable[[], None]
) -> bool:
    there = identify(path)
    if there is None or there.size != identity.size:
        return False
    if sha256 is None:
        return there.mtime_ns == identity.mtime_ns
    return files.sha256_of(path, progress=progress) == sha256


def _copy(source: bytes, part: bytes, progress: Callable[[], None]) -> None:
    """Make a copy, with times and mode, that lasts through a power cut.

    A copy that cannot be completed is removed.
    """
    try:
        with open(source, "rb", opener=_without_links) as original, open(part, "wb") as copy:
            while piece := original.read(PIECE):
                copy.write(piece)
                # If it was synced only at the end, that could take minutes without `progress`.
                os.fdatasync(copy.fileno())
                progress()
            copy.flush()
            shutil.copystat(source, part, follow_symlinks=False)
            os.fsync(copy.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise
    sync_folders({os.path.dirname(part)})


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def rename(source: bytes, target: bytes) -> None:
    """Rename, never over another file.

    A hard link and a removal would be as safe, but Linux forbids links to other people's files
    (protected_hardlinks).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), os.fsdecode(target))
    # A file system without that call (NFS): an empty file of ours takes the name first.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.rename(source, target)
    except OSError:
        os.unlink(target)
        raise


def numbered(path: bytes) -> Iterator[bytes]:
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


def _begins(path: bytes, opening: bytes) -> bool:
    if identify(path) is None:
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(opening)) == opening
    except PermissionError:  # a failed video that this user may not read
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
    placed = move_file(file.path, target, file.identity, None, lambda _: None)
    sync_folders({os.path.dirname(file.path), os.fsencode(inbox)})
    return placed


def reason_texts(failed: Path) -> dict[bytes, list[bytes]]:
    """Our texts in `failed/` that say why a video failed, by the path of that video."""
    texts: dict[bytes, list[bytes]] = {}
    for path in (os.fsencode(found) for found in failed.glob("*.txt")):
        if name := _subject_of(path):
            video = os.path.join(os.path.dirname(path), name)
            texts.setdefault(video, []).append(path)
    return texts


def our_files(root: Path, texts: Mapping[bytes, list[bytes]]) -> Iterator[list[Found]]:
    """The files in the folders of the home at `root` that only we fill, some at a time.

    Our texts about failed videos, as `reason_texts` gives them, are left out.
    """
    own = {text for of_video in texts.values() for text in of_video}
    for name in OUR_FOLDERS:
        for files_there in files_below(root / name):
            yield [file for file in files_there if file.path not in own]


def sha256_if_readable(path: bytes) -> str | None:
    """The SHA-256 of a file's content; None if it cannot be read. Links are not followed."""
    try:
        return files.sha256_of(path, follow_links=False)
    except OSError:
        return None


def _subject_of(path: bytes) -> bytes | None:
    """The name of the video in the first line of a text of ours; None if it is no such text."""
    if identify(path) is None:
        return None
    try:
        with open(path, "rb") as file:
            opening, ending, _ = file.read(1000).partition(b" was not classified.\n")
    except OSError:
        return None
    if ending and opening.startswith(REASON):
        return opening[len(REASON) :]
    return None

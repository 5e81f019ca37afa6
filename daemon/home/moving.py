"""Where a file belongs, and a move that never overwrites and can be repeated. Knows no video and no database."""

import contextlib
import ctypes
import errno
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.home.folders import Found
from daemon.home.identity import Identity, base_name, identify
from learner import files

log = logging.getLogger(__name__)

LONGEST_NAME = 255
REASON = b"vidwatch: "


PIECE = 2**26  # bytes
_RENAME_NOREPLACE, _AT_FDCWD = 1, -100


def move_file(
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    redirect: Callable[[bytes], None],
    progress: Callable[[], None] = lambda: None,
) -> bytes | None:
    """Move a file to `target`, or to a numbered name beside it, which `redirect` notes down before anything moves.

    Called again after a crash it completes what was begun. To another file system it has to be copied: `progress` is
    called now and then meanwhile, and may end that by an exception.

    Returns:
        Where the file is now; None where a person has taken it away or changed it.

    Raises:
        OSError: it cannot be moved now.
    """
    if identify(target) == identity:
        return target
    part = _part_of(target, identity)
    if identify(source) != identity:
        # To another file system a file is copied: the copy is whole before the original is removed.
        if _is_copy(part, identity, sha256, progress):
            source = part
        else:
            return target if _is_copy(target, identity, sha256, progress) else None
    os.makedirs(os.path.dirname(target), exist_ok=True)
    while True:
        try:
            _rename(source, target)
            return target
        except FileExistsError:
            target = next(name for name in _numbered(target) if not os.path.lexists(name))
            redirect(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(source, part, progress)
            if identify(source) != identity:  # someone went on writing it
                os.unlink(part)
                return None
            os.unlink(source)
            source = part


def write_reason(path: bytes, reason: str) -> None:
    """Say in a text file beside `path` why it was not classified; an earlier such text on that file is replaced.

    Nothing is written where the file is itself such a text, that came back to the inbox with its video.
    """
    folder, name = os.path.split(path)
    opening = REASON + name + b" was not classified.\n"
    if _begins(path, REASON):
        return
    text = opening + b"\n" + reason.encode("utf-8", "backslashreplace") + b"\n\n"
    text += b"To have it tried again, move the video back into the inbox.\n"
    target = next(
        candidate
        for candidate in itertools.chain(
            [folder + b"/" + _fit(name, b".txt")], _numbered(path + b".txt")
        )
        if not os.path.lexists(candidate) or _begins(candidate, opening)
    )
    part = folder + b"/." + _fit(name[:200], b".txt.part")
    with open(part, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)


def sync_folders(paths: set[bytes]) -> None:
    """Make moves between these folders last through a power cut, where the file system can promise that."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # someone removed the folder that a file came from
            continue
        try:
            os.fsync(descriptor)
        except OSError as error:
            log.warning(
                "folder %r: a power cut may undo the last moves (%s)",
                os.fsdecode(path),
                error.strerror,
            )
        finally:
            os.close(descriptor)


def _part_of(target: bytes, identity: Identity) -> bytes:
    return os.path.dirname(target) + b"/.vidwatch-%d-%d.part" % (identity.inode, identity.size)


def _is_copy(
    path: bytes, identity: Identity, sha256: str | None, progress: Callable[[], None]
) -> bool:
    there = identify(path)
    if there is None or there.size != identity.size:
        return False
    return (
        there.mtime_ns == identity.mtime_ns
        if sha256 is None
        else files.sha256_of(path, progress=progress) == sha256
    )


def _copy(source: bytes, part: bytes, progress: Callable[[], None]) -> None:
    """A copy with times and mode that lasts through a power cut; nothing is left of one that cannot be completed."""
    try:
        with open(source, "rb", opener=_without_links) as original, open(part, "wb") as copy:
            while piece := original.read(PIECE):
                copy.write(piece)
                os.fdatasync(
                    copy.fileno()
                )  # all at the end it could take minutes, without a sign of life
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


def _rename(source: bytes, target: bytes) -> None:
    """Rename, never over another file.

    A hard link and a removal would be as safe, but Linux forbids links to other people's files (protected_hardlinks).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(code, os.strerror(code), os.fsdecode(target))
    # A file system without that call (NFS): the name is taken first, by an empty file of ours.
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.rename(source, target)
    except OSError:
        os.unlink(target)
        raise


def _numbered(path: bytes) -> Iterator[bytes]:
    """`a-2.mp4`, `a-3.mp4` and so on."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    for number in itertools.count(2):
        yield folder + b"/" + _fit(stem, b"-%d" % number + ending[:64])


def _fit(name: bytes, ending: bytes) -> bytes:
    """The name with `ending`, shortened where it would be too long; never within a UTF-8 character."""
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
    except PermissionError:  # a failed video that may not be read
        return False


def put_back(file: Found, inbox: Path, name: bytes | None = None) -> bytes | None:
    """Move a file into the inbox, under its name, or `name`, or a numbered one; None where it has changed meanwhile.

    Not into a folder in the inbox: that would be the recording that they all seem to be of.

    Raises:
        OSError: it cannot be moved.
    """
    target = os.path.join(os.fsencode(inbox), name or base_name(file.path))
    placed = move_file(file.path, target, file.identity, None, lambda _: None)
    sync_folders({os.path.dirname(file.path), os.fsencode(inbox)})
    return placed


def reason_texts(failed: Path) -> dict[bytes, list[bytes]]:
    """The texts of ours in `failed/` that say why, by the path of the video that each is about."""
    texts: dict[bytes, list[bytes]] = {}
    for path in (os.fsencode(found) for found in failed.glob("*.txt")):
        if about := _subject_of(path):
            texts.setdefault(os.path.join(os.path.dirname(path), about), []).append(path)
    return texts


def sha256_of(path: bytes) -> str | None:
    """The content's digest; None where it cannot be read."""
    try:
        return files.sha256_of(path, follow_links=False)
    except OSError:
        return None


def _subject_of(path: bytes) -> bytes | None:
    """The name in the first line of a text of ours."""
    if identify(path) is None:
        return None
    try:
        with open(path, "rb") as file:
            opening, ending, _ = file.read(1000).partition(b" was not classified.\n")
    except OSError:
        return None
    return opening[len(REASON) :] if ending and opening.startswith(REASON) else None

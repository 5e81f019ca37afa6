"""Where a file belongs, and a move that never overwrites and can be repeated. Knows no video and no database."""

import ctypes
import errno
import filecmp
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon.identity import Identity, base_name, identify

LONGEST_NAME = 255
REASON = b"vidwatch: "
_RENAME_NOREPLACE, _AT_FDCWD = 1, -100


class Folders:
    """The places that files are moved to, below `root`. All take and give paths as bytes."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)

    def classified(self, path: bytes, class_name: str) -> bytes:
        """In the folder of its class."""
        return b"/".join((self.root, b"classified", os.fsencode(class_name), base_name(path)))

    def duplicate(self, path: bytes) -> bytes:
        """Among the files whose content was answered before."""
        return b"/".join((self.root, b"duplicates", base_name(path)))

    def failed(self, path: bytes) -> bytes:
        """Among the files that cannot be classified."""
        return b"/".join((self.root, b"failed", base_name(path)))


def place(
    source: bytes, target: bytes, identity: Identity, sha256: str | None, redirect: Callable[[bytes], None]
) -> bytes | None:
    """Move a file to `target`, or to a numbered name beside it, which `redirect` notes down before anything moves.

    Called again after a crash it completes what was begun.

    Returns:
        Where the file is now; None where a person has taken it away or changed it.

    Raises:
        OSError: it cannot be moved now.
    """
    if _has_arrived(source, target, identity, sha256):
        if identify(source) == identity:  # copied to another file system, and not removed yet
            os.unlink(source)
        return target
    if identify(source) != identity:
        return None
    os.makedirs(os.path.dirname(target), exist_ok=True)
    while True:
        try:
            _move(source, target)
        except FileExistsError:
            target = next(name for name in _numbered(target) if not os.path.lexists(name))
            redirect(target)
        else:
            return target


def write_reason(path: bytes, reason: str) -> None:
    """Say in a text file beside `path` why it was not classified. Only an older such text is ever replaced."""
    folder, name = os.path.split(path)
    text = REASON + name + b" was not classified.\n\n" + reason.encode("utf-8", "backslashreplace") + b"\n\n"
    text += b"To have it tried again, move the video back into the inbox.\n"
    target = next(
        candidate
        for candidate in itertools.chain([folder + b"/" + _fit(name, b".txt")], _numbered(path + b".txt"))
        if _is_free_or_reason(candidate)
    )
    part = folder + b"/." + _fit(name[:200], b".txt.part")
    with open(part, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, target)


def sync_folders(paths: set[bytes]) -> None:
    """Make moves between these folders last through a power cut."""
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # someone removed the folder that a file came from
            continue
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _has_arrived(source: bytes, target: bytes, identity: Identity, sha256: str | None) -> bool:
    there = identify(target)
    if there is None or there == identity:
        return there is not None
    if there.size != identity.size or _device(source) == _device(target):
        return False  # another file of that name: a move within a file system keeps the inode
    if sha256 is not None:
        return _sha256(target) == sha256
    return identify(source) == identity and filecmp.cmp(source, target, shallow=False)


def _device(path: bytes) -> int | None:
    try:
        return os.stat(os.path.dirname(path)).st_dev
    except OSError:
        return None


def _move(source: bytes, target: bytes) -> None:
    try:
        _rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # The part is hidden: were it seen, a crash would leave half a video that looks like a whole one.
        folder, name = os.path.split(target)
        part = folder + b"/." + _fit(name[:200], b".part")
        shutil.copy2(source, part)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        _rename(part, target)
        os.unlink(source)


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


def _is_free_or_reason(path: bytes) -> bool:
    if identify(path) is None:
        return not os.path.lexists(path)
    with open(path, "rb") as file:
        return file.read(len(REASON)) == REASON


def _sha256(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

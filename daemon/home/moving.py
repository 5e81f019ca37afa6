"""Moves that never overwrite a file and can be repeated.

Knows no video and no database.
"""

import contextlib
import errno
import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from daemon.home.doors import Doors
from daemon.home.folders import Found, folders_of
from daemon.home.identity import Identity, base_name
from daemon.home.removable import is_one_name, require_removable
from learner import files
from learner.folders import new_name

log = logging.getLogger(__name__)

LONGEST_NAME = 255  # bytes
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
    sources: Sequence[bytes] = (),
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
        sources: The folders beside it that the file may come from.

    Returns:
        Where the file is now; None if a person has taken it away or changed it.

    Raises:
        OSError: it cannot be moved now.
    """
    doors = Doors(root, sources)
    found = doors.identify(source)
    # Its file system may have another number by now.
    is_there = found is not None and found.has_numbers_of(identity)
    if _is_done(doors, source, target, found if is_there else None, identity):
        return target
    if not is_there:
        # A file that goes to another file system is copied: the copy is whole before the original
        # is removed.
        copies = _copies(doors, target, identity)
        whole = (copy for copy in copies if is_copy(doors, copy, identity, sha256, progress))
        if part := next(whole, None):
            source = part
        elif is_copy(doors, target, identity, sha256, progress):
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
            target = next(name for name in numbered(target) if not doors.is_taken(name))
            redirect(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            part = _copy_and_remove(doors, source, target, identity, sha256, progress)
            if part is None:
                return None
            source = part


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


def _is_done(
    doors: Doors, source: bytes, target: bytes, found: Identity | None, identity: Identity
) -> bool:
    """Whether the file is at `target`, and has no other name at `source`.

    `found` is the file at `source`, None if it is not there.
    """
    if found is None:
        return doors.identify(target) == identity
    return doors.identify(target) == found and is_one_name(source, target)


def _copy_and_remove(
    doors: Doors,
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    progress: Callable[[], None],
) -> bytes | None:
    """Put a copy in the folder of `target` in the stead of a file; gives the path of the copy.

    None if a program wrote to the file meanwhile. If the file cannot be removed, the copy is.
    """
    require_removable(source)
    part = copied(doors, source, target, identity, sha256, progress)
    if part is None:
        return None
    try:
        doors.remove(source)
    except FileNotFoundError:  # an NFS client may repeat a removal that succeeded
        pass
    except OSError:
        doors.remove(part)
        raise
    return part


def copied(
    doors: Doors,
    source: bytes,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    progress: Callable[[], None],
) -> bytes | None:
    """Copy a file into the folder of `target`, under a name of ours; gives the path of the copy.

    None if a program wrote to the file meanwhile.
    """
    before = doors.identify(source)
    sweep_copies(doors, target, identity, sha256, progress)
    part = copy_beside(doors, source, target, identity, progress)
    if doors.identify(source) == before:
        return part
    doors.remove(part)
    return None


def sweep_copies(
    doors: Doors,
    target: bytes,
    identity: Identity,
    sha256: str | None,
    progress: Callable[[], None],
) -> None:
    """Remove the copies of a file that is still there, which are left from a crash.

    A whole copy may be all that is left of a file of another disk, with the same numbers: it goes
    only if its content is that of the file.
    """
    for left in _copies(doors, target, identity):
        there = doors.identify(left)
        is_whole = there is not None and there.size == identity.size
        if not is_whole or (sha256 and is_copy(doors, left, identity, sha256, progress)):
            with contextlib.suppress(OSError):  # somebody else's folder may have such a name
                doors.remove(left)


def _copies(doors: Doors, target: bytes, identity: Identity) -> list[bytes]:
    """The copies of a file in the folder of `target` that have not got their names yet."""
    folder = os.path.dirname(target)
    # Versions before wrote them without the part that nobody can guess.
    begin = b".vidwatch-%d-%d" % (identity.inode, identity.size)
    names = [name for name in doors.names(folder) if name.startswith((begin + b"-", begin + b"."))]
    return [folder + b"/" + name for name in names]


def is_copy(
    doors: Doors,
    path: bytes,
    identity: Identity,
    sha256: str | None,
    progress: Callable[[], None],
) -> bool:
    """Whether the file at a path is a copy of the one with this identity and content.

    If the content is not known, its date has to be the same.
    """
    there = doors.identify(path)
    if there is None or there.size != identity.size:
        return False
    if sha256 is None:
        return there.mtime_ns == identity.mtime_ns
    with doors.open(path) as file:
        return files.sha256_of_open(file, progress) == sha256


def copy_beside(
    doors: Doors, source: bytes, target: bytes, identity: Identity, progress: Callable[[], None]
) -> bytes:
    """Copy a file into the folder of `target`. The copy lasts through a power cut.

    It has the times and the rights of the original, but for the right to run as its owner: a copy
    is ours. It is removed if it cannot be completed. Returns the path of the copy.
    """
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


def numbered(path: bytes) -> Iterator[bytes]:
    """`a-2.mp4`, `a-3.mp4` and so on."""
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)
    for number in itertools.count(2):
        yield folder + b"/" + fit(stem, b"-%d" % number + ending[:64])


def fit(name: bytes, ending: bytes) -> bytes:
    """The name with `ending`, shortened if it would be too long.

    It is never cut within a UTF-8 character.
    """
    short = name[: LONGEST_NAME - len(ending)]
    if short != name:
        short = os.fsencode(short.decode("utf-8", "ignore")) or short
    return short + ending


def put_back(file: Found, inbox: Path, name: bytes | None = None) -> bytes | None:
    """Move a file into the inbox, under its own name or `name`, with a number if that is taken.

    It keeps the sub-folders of a class folder, or of a folder of ours: they name its group, and
    with `filed_as = "tree"` they are those of the inbox that it came from.

    Returns:
        Where the file is now; None if it has changed meanwhile.

    Raises:
        OSError: it cannot be moved.
    """
    root = os.fsencode(inbox.parent)
    folder = os.path.join(os.fsencode(inbox), *folders_of(file.path, root))
    target = os.path.join(folder, name or base_name(file.path))
    placed = move_file(file.path, target, file.identity, None, lambda _: None, root=root)
    sync_folders({os.path.dirname(file.path), folder})
    return placed


def sha256_if_readable(path: bytes) -> str | None:
    """The SHA-256 of a file's content; None if it cannot be read. Links are not followed."""
    try:
        return files.sha256_of(path, follow_links=False)
    except OSError:
        return None

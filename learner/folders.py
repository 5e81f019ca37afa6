"""Folders that other people may write in: they are opened, walked, and given files without links.

Whoever may write in a folder may put a link there, at any moment, under any name that can be
guessed. So a folder is opened one step at a time from a folder that is trusted, and a file of ours
is made under a name that nobody knows before.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

Path = bytes | str | os.PathLike[Any]

# A longer path cannot be given to the kernel, which counts the zero at its end.
LONGEST_PATH = 4095  # bytes
# People nest folders ten deep. To open one takes as many steps as it is deep.
DEEPEST = 100
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class LinkError(OSError):
    """The folder of this name is a link: somebody may have put it there to mislead us."""

    def __init__(self, name: bytes) -> None:
        shown = name.decode("utf-8", "backslashreplace")
        super().__init__(errno.ELOOP, f"{shown!r} is a link, and links are not followed", name)


@contextlib.contextmanager
def opened_folder(base: Path, inner: bytes = b"", *, create: bool = False) -> Iterator[int]:
    """The descriptor of a folder, for the `dir_fd` of the functions in `os`.

    Args:
        base: A folder in whose path links are trusted.
        inner: The path of the folder below `base`. No step of it may be a link.
        create: Whether to make what is missing of it.

    Raises:
        LinkError: a step is a link.
        OSError: it cannot be opened, or made.
    """
    current = os.open(base, _FOLDER)
    try:
        for name in inner.split(b"/"):
            if name in (b"", b"."):
                continue
            below = _step(current, name, create=create)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _step(folder: int, name: bytes, *, create: bool) -> int:
    if name == b"..":
        raise OSError(errno.EINVAL, "a path that goes back up", name)
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError as error:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise LinkError(name) from error
        raise


def new_name(what: str = "") -> str:
    """A name for a file that is not whole yet; nobody can guess it. `what` becomes part of it."""
    import secrets  # what only reads starts in less time than this import takes

    return f".vidwatch-{what}{secrets.token_hex(8)}.part"


def create_in(folder: int, name: Path, mode: int = 0o666) -> int:
    """The descriptor of a new file in an open folder, for writing.

    Raises:
        OSError: it cannot be made, or there is something of that name, also a link.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
    return os.open(name, flags, mode, dir_fd=folder)


def walk(
    top: Path,
    start: bytes = b"",
    *,
    enter: Callable[[bytes], bool] = lambda path: True,
    go_on: Callable[[], object] = lambda: None,
    trouble: Callable[[OSError], object] = lambda error: None,
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Each folder at or below `top`: its descriptor, its path, and the names in it, sorted.

    The names are those of all that are no folders. The descriptor is closed when the next folder
    is asked for. No link is followed, but in the path of `top`. However deep folders are nested,
    this does not recurse.

    Args:
        top: A folder in whose path links are trusted.
        start: Where to begin: the path of a folder below `top`.
        enter: Gets the path of each folder before it is read: whether to read it.
        go_on: Called for each entry. An exception from it ends the walk.
        trouble: Gets the error of each folder that cannot be read. The walk goes on with others.
    """
    base = os.fsencode(top)
    pending = [start]
    while pending:
        inner = pending.pop()
        path = os.path.join(base, inner) if inner else base
        try:
            if not fits(base, inner):
                raise OSError(errno.ENAMETOOLONG, "it is nested too deep, or its path is too long")
            with opened_folder(base, inner) as folder:
                names, folders = _entries(folder, go_on)
                yield folder, path, names
        except OSError as error:
            trouble(OSError(error.errno, error.strerror, path))
            continue
        for name in reversed(folders):
            if enter(os.path.join(path, name)):
                pending.append(os.path.join(inner, name) if inner else name)


def fits(base: bytes, inner: bytes) -> bool:
    """Whether a folder is not too deep, and a file in it has a path that the kernel takes."""
    room = 256  # for the name of a file
    return inner.count(b"/") < DEEPEST and len(base) + len(inner) + room <= LONGEST_PATH


def _entries(folder: int, go_on: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
    """What lies in an open folder, sorted: first what is no folder, then the folders."""
    names: list[bytes] = []
    folders: list[bytes] = []
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(listed) as entries:
            for entry in entries:
                go_on()
                try:
                    is_folder = entry.is_dir(follow_symlinks=False)
                except OSError:  # a share that does not say; it may be a file that can be read
                    is_folder = False
                (folders if is_folder else names).append(os.fsencode(entry.name))
    finally:
        os.close(listed)
    return sorted(names), sorted(folders)

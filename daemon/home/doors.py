"""Does what has to be done with files in a home, in folders that other people may write in, too.

Members of the service's group may write in the class folders, the inbox and `failed/`. They may put
a link there under any name, or in the place of any folder. Nothing here follows one.
"""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence

from daemon.home.identity import Identity, identify
from learner.folders import create_in, opened_folder

_RENAME_NOREPLACE = 1  # of renameat2(2)


class Doors:
    """Files of the home at `root`, by their absolute paths, which are bytes.

    The home itself is its owner's: that `inbox` or another folder in it is a link to another disk
    is what the owner wants. Below these folders, no link is followed.
    """

    def __init__(self, root: bytes, sources: Sequence[bytes] = ()) -> None:
        """The doors of a home.

        Args:
            root: The home.
            sources: Folders outside of it that videos come from: below them, too, no link is
                followed.
        """
        self._root = root
        self._sources = sources

    @contextlib.contextmanager
    def folder(self, path: bytes, *, create: bool = False) -> Iterator[int]:
        """The descriptor of the folder at `path`; with `create`, it is made if it is missing.

        Raises:
            OSError: it cannot be opened, or a link is on the way to it.
        """
        base, inner = self._parts(path)
        if create and not os.path.isdir(base):
            os.makedirs(base, exist_ok=True)
        with opened_folder(base, inner, create=create) as folder:
            yield folder

    def _parts(self, path: bytes) -> tuple[bytes, bytes]:
        """The part of a path in which links are trusted, and the rest."""
        if not self.is_inside(path):
            for source in self._sources:
                if path.startswith(source + b"/"):
                    return source, path[len(source) + 1 :]
            return path, b""
        top, _, inner = path[len(self._root) + 1 :].partition(b"/")
        return self._root + b"/" + top, inner

    def is_inside(self, path: bytes) -> bool:
        """Whether a path lies in the home."""
        return path.startswith(self._root + b"/")

    def identify(self, path: bytes) -> Identity | None:
        """The identity of the regular file at `path`; None if there is no regular file.

        Raises:
            OSError: it cannot be found out now, or a link is on the way to it.
        """
        try:
            with self._parent(path) as (folder, name):
                return identify(name, folder)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def is_taken(self, path: bytes) -> bool:
        """Whether anything has that name, also a link to nowhere."""
        with self._parent(path) as (folder, name):
            try:
                os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                return False
            return True

    def names(self, path: bytes) -> list[bytes]:
        """What lies in the folder at `path`; nothing if it does not exist."""
        try:
            with self.folder(path) as folder, _readable(folder) as listed:
                return [os.fsencode(name) for name in os.listdir(listed)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def create(self, path: bytes, mode: int = 0o666) -> io.BufferedWriter:
        """A new file, for writing.

        Raises:
            FileExistsError: something has that name, also a link.
            OSError: it cannot be made.
        """
        with self._parent(path) as (folder, name):
            return os.fdopen(create_in(folder, name, mode), "wb")

    def open(self, path: bytes) -> io.BufferedReader:
        """The regular file at `path`, for reading.

        Raises:
            OSError: there is none, or it cannot be read.
        """
        # Without O_NONBLOCK, to open a pipe would wait for somebody who writes into it.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with self._parent(path) as (folder, name):
            file = os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(errno.EINVAL, "no regular file", path)
        return file

    def remove(self, path: bytes) -> None:
        """Remove a file, or a link.

        Raises:
            OSError: it cannot be removed, or is not there.
        """
        with self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def rename(self, source: bytes, target: bytes) -> None:
        """Rename a file, never over another one.

        A hard link and a removal would be as safe, but Linux forbids links to other people's files
        (protected_hardlinks).

        Raises:
            FileExistsError: something has the name `target`.
            OSError: it cannot be renamed.
        """
        with self._parent(source) as (old, name), self._parent(target) as (new, wanted):
            import ctypes  # what only reads starts in less time than this import takes

            libc = ctypes.CDLL(None, use_errno=True)
            if libc.renameat2(old, name, new, wanted, _RENAME_NOREPLACE) == 0:
                return
            code = ctypes.get_errno()
            if code not in (errno.EINVAL, errno.ENOSYS):
                raise OSError(code, os.strerror(code), os.fsdecode(target))
            # A file system without that call (NFS): an empty file of ours takes the name first.
            os.close(create_in(new, wanted))
            try:
                os.rename(name, wanted, src_dir_fd=old, dst_dir_fd=new)
            except OSError:
                os.unlink(wanted, dir_fd=new)
                raise

    def link(self, source: bytes, target: bytes) -> None:
        """Give a file a second name, never over another file.

        Raises:
            FileExistsError: something has the name `target`.
            OSError: it cannot have one: it lies on another file system, or is somebody else's.
        """
        with self._parent(source) as (old, name), self._parent(target) as (new, wanted):
            os.link(name, wanted, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)

    def replace(self, source: bytes, target: bytes) -> None:
        """Rename a file over another one.

        Raises:
            OSError: it cannot be renamed.
        """
        with self._parent(source) as (old, name), self._parent(target) as (new, wanted):
            os.replace(name, wanted, src_dir_fd=old, dst_dir_fd=new)

    @contextlib.contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The open folder that a file lies in, and the file's name."""
        parent, _, name = path.rpartition(b"/")
        with self.folder(parent) as folder:
            yield folder, name


@contextlib.contextmanager
def _readable(folder: int) -> Iterator[int]:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)

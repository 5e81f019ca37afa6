"""Writes files so that either the old one or the new one is there, whole; and hashes them."""

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from learner.folders import create_in, new_name, opened_folder

HASHED_AT_ONCE = 2**26  # bytes


def write(path: Path, data: bytes, *, mode: int | None = None, durable: bool = True) -> None:
    """Replace `path`. A full disk leaves the old file as it was.

    Args:
        path: the file.
        data: its new content.
        mode: its rights; those that the umask leaves if None.
        durable: whether it lasts through a power cut.

    Raises:
        OSError: it cannot be written.
    """
    with opened_folder(path.parent) as folder:
        _write(folder, path.name, data, mode, durable=durable)


def prepare(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, from where `commit` takes it."""
    write(part_of(path), data)


def commit(path: Path) -> None:
    """Put what was prepared in its place."""
    part_of(path).replace(path)


def open_own(path: Path, flags: int, mode: int = 0o666) -> int:
    """The descriptor of a file that is made if it is missing, and only ours; never behind a link.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def _write(folder: int, name: str, data: bytes, mode: int | None, *, durable: bool) -> None:
    # Under a name that can be guessed, somebody who may write in the folder could put a link.
    part = new_name()
    descriptor = create_in(folder, part)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


def part_of(path: Path) -> Path:
    """Where a file lies until it is whole."""
    return path.with_name(path.name + ".part")


def sha256_of(
    path: bytes | str | os.PathLike[Any],
    *,
    follow_links: bool = True,
    progress: Callable[[], None] | None = None,
) -> str:
    """The SHA-256 of a file's content, as 64 hexadecimal digits.

    Args:
        path: the file.
        follow_links: whether a symbolic link stands for the file that it names; if not, it is an
            error.
        progress: called after each 64 MB; an exception that it raises ends the reading.

    Raises:
        OSError: it cannot be read.
    """
    # Without O_NONBLOCK, to open a pipe would wait for somebody who writes into it.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    if not follow_links:
        flags |= os.O_NOFOLLOW
    with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 (a descriptor)
        return sha256_of_open(file, progress)


def sha256_of_open(file: io.BufferedReader, progress: Callable[[], None] | None = None) -> str:
    """As `sha256_of`, of a file that is open already, from where it stands to its end."""
    if progress is None:
        return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    while piece := file.read(HASHED_AT_ONCE):
        digest.update(piece)
        progress()
    return digest.hexdigest()

"""Writes files so that either the old one or the new one is there, whole; and hashes them."""

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

HASHED_AT_ONCE = 2**26  # bytes


def write(path: Path, data: bytes) -> None:
    """Replace `path`, durably. A full disk leaves the old file as it was.

    Raises:
        OSError: it cannot be written.
    """
    prepare(path, data)
    commit(path)


def prepare(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, from where `commit` takes it."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        part.unlink(missing_ok=True)
        raise


def commit(path: Path) -> None:
    """Put what was prepared in its place."""
    part_of(path).replace(path)


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

"""Writes files so that there is always the old one or the new one, whole."""

import os
from pathlib import Path


def write(path: Path, data: bytes) -> None:
    """Replace `path`, durably. A full disk leaves the old file as it was.

    Raises:
        OSError: it cannot be written.
    """
    prepare(path, data)
    commit(path)


def prepare(path: Path, data: bytes) -> None:
    """Write `data` beside `path`, where `commit` takes it from."""
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

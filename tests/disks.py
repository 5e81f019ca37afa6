"""Small file systems of their own, on which files have the same numbers."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SAME_DATE = 1_700_000_000_000_000_000  # nanoseconds

Mount = Callable[[Path], Path]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts an empty file system at a path. Each numbers its files from the same number on."""
    mounted: list[Path] = []

    def mount(path: Path) -> Path:
        path.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=8m", "vidwatch-test", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (subprocess.CalledProcessError, FileNotFoundError):
            pytest.skip("needs the right to mount a small file system")
        mounted.append(path)
        return path

    yield mount
    for path in reversed(mounted):
        subprocess.run(["umount", "-l", str(path)], check=True)


def pad(path: Path, size: int = 20_000) -> Path:
    """Give a file the size and the date of each other padded file, with zeros at its end."""
    with path.open("ab") as file:
        file.truncate(size)
    os.utime(path, ns=(SAME_DATE, SAME_DATE))
    return path


def numbers(path: Path) -> tuple[int, int, int]:
    """Its inode, size and date."""
    info = path.stat()
    return info.st_ino, info.st_size, info.st_mtime_ns

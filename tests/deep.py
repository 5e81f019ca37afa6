"""Folders that are nested deeper than any person nests them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def nested(folder: Path, name: str, depth: int) -> Iterator[None]:
    """A file `deepest.avi` so many folders below `folder`, each of which is called `name`.

    They are removed again: neither pytest nor shutil could.
    """
    current = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=current)
        below = os.open(name, os.O_RDONLY, dir_fd=current)
        os.close(current)
        current = below
    os.close(os.open("deepest.avi", os.O_CREAT | os.O_WRONLY, dir_fd=current))
    os.close(current)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", folder / name], check=True)

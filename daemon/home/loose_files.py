"""Finds files that lie beside the class folders instead of in one: they get no label."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from daemon.home.identity import Identity, lies_at
from daemon.home.left_alone import LeftAlone, is_unfinished
from daemon.home.sidecars import is_sidecar
from daemon.home.texts import printable
from learner.texts import counted, listed

NAMED = 3  # files that are named, at most
HINT = "move them into labelled/<class>/, or into inbox/"


def loose_files(root: Path, left_alone: Callable[[], LeftAlone]) -> list[Path]:
    """The files directly in `labelled/` or `classified/` of the home at `root`, sorted.

    Args:
        root: The home's folder.
        left_alone: Reads which files are left alone. It is called only if there are files: to read
            the settings takes time.
    """
    found = []
    for top in ("labelled", "classified"):
        try:
            with os.scandir(root / top) as entries:
                files = [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError:  # that it is away is shown elsewhere
            continue
        for name in sorted(files):
            if not is_unfinished(os.fsencode(name)) and not is_sidecar(os.fsencode(name)):
                found.append(root / top / name)
    if not found:
        return []
    known = left_alone()
    return [path for path in found if not known.file(os.fsencode(path.name))]


def loose_file_of(files: Iterable[Path], row: Any) -> Path | None:
    """The one of these files that is the file of a row of `videos`; None if none is."""
    numbers = Identity(None, row.inode, row.size, row.mtime_ns)
    return next((path for path in files if lies_at(os.fsencode(path), numbers)), None)


def loose_files_in_words(root: Path, left_alone: Callable[[], LeftAlone]) -> list[str]:
    """What these files are and what to do, for people: a line for each of the two folders."""
    lines = []
    files = loose_files(root, left_alone)
    for top in ("labelled", "classified"):
        names = [path.name for path in files if path.parent.name == top]
        if names:
            count = counted(len(names), "file")
            what = f"{count} beside the class folders ({listed(names, NAMED)})"
            lines.append(printable(f"{top}/ has {what}, without a label: {HINT}"))
    return lines

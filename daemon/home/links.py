"""Finds links to files and folders in the inbox and among the class folders: none is followed."""

import os
from pathlib import Path

from daemon.home.texts import printable
from learner.texts import counted, listed

FOLDERS = ("inbox", "labelled", "classified")
NAMED = 3  # links of one folder that are named, at most
HINT = "have a folder there, or link the whole of it; clips behind links are not seen"


def links_in(root: Path) -> list[str]:
    """What links lie in the folders of the home at `root`, for people: a line for each folder.

    A whole folder of the home may be a link, such as `inbox/` to a share. Links further below are
    left alone, too, and not looked for here: that would take as long as a search.
    """
    lines = []
    for name in FOLDERS:
        try:
            with os.scandir(root / name) as entries:
                links = sorted(entry.name for entry in entries if entry.is_symlink())
        except OSError:  # that it is away is shown elsewhere
            continue
        if links:
            what = f"{counted(len(links), 'link')} ({listed(links, NAMED)})"
            lines.append(printable(f"{name}/ has {what}, which vidwatch leaves alone: {HINT}"))
    return lines

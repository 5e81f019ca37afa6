"""Where each file of a home belongs, and which files lie there. Moves nothing.

Paths of videos are bytes here, which pathlib does not take.
"""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from daemon.home.identity import Identity, base_name, identify
from learner.groups import group_of

UNSURE = b"_unsure"  # no class can have this name


class Folders:
    """The places that files are moved to, below `root`. All take and give paths as bytes."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)

    def classified(self, path: bytes, class_name: str) -> bytes:
        """In the folder of its class."""
        return b"/".join((self.root, b"classified", os.fsencode(class_name), base_name(path)))

    def labelled(self, path: bytes, class_name: str) -> bytes:
        """In the folder of the class that a person gave it."""
        return b"/".join((self.root, b"labelled", os.fsencode(class_name), base_name(path)))

    def unsure(self, path: bytes) -> bytes:
        """Among the files whose answer is not to be relied on."""
        return b"/".join((self.root, b"classified", UNSURE, base_name(path)))

    def class_folder(self, path: bytes) -> tuple[str, str] | None:
        """`classified` or `labelled`, and the folder in it that `path` lies below; None where it lies elsewhere."""
        if not path.startswith(self.root + b"/"):
            return None
        kind, *inner = path[len(self.root) + 1 :].split(b"/")
        if kind not in (b"classified", b"labelled") or len(inner) < 2:
            return None
        return kind.decode(), os.fsdecode(inner[0])

    def duplicate(self, path: bytes) -> bytes:
        """Among the files whose content was answered before."""
        return b"/".join((self.root, b"duplicates", base_name(path)))

    def failed(self, path: bytes) -> bytes:
        """Among the files that cannot be classified."""
        return b"/".join((self.root, b"failed", base_name(path)))


# Names that a file has while it is being copied or downloaded, and that it loses when it is whole.
PARTIAL = (
    b".part", b".partial", b".tmp", b".temp", b".crdownload", b".download", b".opdownload", b".filepart", b".aria2",
    b".!ut", b".!qb",
)  # fmt: skip


LITTER = (b"thumbs.db", b"desktop.ini")


def is_left_alone(relative: bytes) -> bool:
    """Whether a path below the inbox is hidden, a copy in progress, or what a file manager leaves."""
    parts = relative.lower().split(b"/")
    return (
        any(part.startswith(b".") for part in parts)
        or parts[-1].endswith(PARTIAL)
        or parts[-1] in LITTER
    )


BATCH = 200


class Found(NamedTuple):
    """A file as it lies there."""

    path: bytes
    identity: Identity


def files_below(folder: Path) -> Iterator[list[Found]]:
    """The files below a folder, some at a time; not those that the daemon leaves alone. Links are not followed."""
    root = os.fsencode(folder)
    paths = (
        os.path.join(below, name) for below, _, names in os.walk(root) for name in sorted(names)
    )
    whole = (path for path in paths if not is_left_alone(path[len(root) + 1 :]))
    found = (Found(path, identity) for path in whole if (identity := identify(path)))
    while some := list(islice(found, BATCH)):
        yield some


def group_at(path: bytes, root: bytes, pattern: re.Pattern[str]) -> str | None:
    """The group of a file in the home at `root`: a folder in the inbox is one, and so is one in a class folder."""
    top, *folders, name = path[len(root) + 1 :].decode("utf-8", "backslashreplace").split("/")
    return group_of(name, folders if top == "inbox" else folders[1:], pattern)

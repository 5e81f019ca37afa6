"""The folders that videos come from beside the inbox: sources of the settings, and archives."""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from daemon.home.identity import base_name
from learner.groups import group_of

if TYPE_CHECKING:
    from mimetypes import MimeTypes

OnFiled = Literal["copy", "hardlink", "leave"]
"""What becomes of a file whose video is predicted, if it is not moved."""

# The lists of some versions of Python call these sounds. Phones write films so.
_OF_BOTH = (b".3gp", b".3gpp", b".3g2", b".3gpp2", b".ogg", b".ogx")
# These types say nothing, or are of films, too.
_ANYTHING = (
    "application/octet-stream",
    "application/mxf",
    "application/mp4",
    "application/ogg",
    "application/x-shockwave-flash",
    "application/vnd.rn-realmedia",
    "application/vnd.rn-realmedia-vbr",
)


@dataclass(frozen=True)
class Source:
    """A folder that videos come from."""

    folder: bytes
    """Absolute."""
    name: str
    """What tables show before the names of its videos."""
    on_filed: OnFiled | None = None
    """None: its files are moved."""
    tree: bool = False
    """Whether files keep its sub-folders where they are filed."""
    group: str | None = None
    """The group of all its videos. None: their names and folders say it."""
    ignore: tuple[str, ...] | None = None
    """What is left alone in it. None: what the settings say."""
    model: str | None = None
    """The model that predicts its videos. None: the champion."""

    @property
    def stays(self) -> bool:
        """Whether its files stay where they are, untouched."""
        return self.on_filed == "leave"

    def holds(self, path: bytes) -> bool:
        """Whether a path lies below it."""
        return path.startswith(self.folder + b"/")

    def folders_of(self, path: bytes) -> list[bytes]:
        """The folders in it that a file lies in."""
        return path[len(self.folder) + 1 :].split(b"/")[:-1]

    def source_of(self, path: bytes) -> str:
        """Its name, with the folders in it that a file lies in."""
        return "/".join((self.name, *_as_text(self.folders_of(path))))

    def group_of(self, path: bytes, pattern: re.Pattern[str]) -> str | None:
        """The group of a file in it, if anything states one."""
        if self.group is not None:
            return self.group
        inner = _as_text(self.folders_of(path))
        name = base_name(path).decode("utf-8", "backslashreplace")
        # The source alone is no group: all clips of one camera are not one recording.
        return group_of(name, [self.name, *inner] if inner else [], pattern)


def may_be_video(name: bytes) -> bool:
    """Whether the ending of a name does not say that the file is a text, a picture or the like."""
    if name.lower().endswith(_OF_BOTH):
        return True
    kind, _ = _types().guess_type(os.fsdecode(name))
    return kind is None or kind.startswith("video/") or kind in _ANYTHING


@cache
def _types() -> "MimeTypes":
    """The types of files by their endings, whatever the machine's own list says."""
    # Some commands start in less time than this takes.
    from mimetypes import MimeTypes

    return MimeTypes()


def holds_any(folder: bytes) -> bool:
    """Whether anything lies in a folder: the place of a disk that is not mounted is empty.

    Raises:
        OSError: it cannot be found out now.
    """
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False


def lies_in(origin: bytes | None, path: bytes) -> bool:
    """Whether a file lies in the source or archive that it came from, and not in the home."""
    return origin is not None and path.startswith(origin + b"/")


def is_reachable(origin: bytes, on_filed: OnFiled | None) -> bool:
    """Whether the folder of a source or of an archive is there, as far as that can be told.

    One that files are moved out of may be empty. Another one that is empty is the place of a disk
    that is not mounted.

    Args:
        origin: The folder.
        on_filed: What becomes of its files.
    """
    try:
        return holds_any(origin) if on_filed else Path(os.fsdecode(origin)).is_dir()
    except OSError:
        return False


def _as_text(folders: list[bytes]) -> list[str]:
    return [folder.decode("utf-8", "backslashreplace") for folder in folders]

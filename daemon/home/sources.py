"""The folders that videos come from beside the inbox: sources of the settings, and archives."""

import mimetypes
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from daemon.home.answering import Answers
from daemon.home.identity import base_name
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError
from learner.groups import group_of

OnFiled = Literal["copy", "hardlink", "leave"]
"""What becomes of a file whose video is predicted, if it is not moved."""

# The types of files by their endings, whatever the machine's own list says.
_TYPES = mimetypes.MimeTypes()
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
    kind, _ = _TYPES.guess_type(os.fsdecode(name))
    return kind is None or kind.startswith("video/") or kind in _ANYTHING


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


def _valid_name(name: str) -> str:
    if not is_class_name(name):
        raise ValueError(f"{name!r}: {CLASS_NAME_RULE}")
    return name


def _valid_folder(folder: Path) -> Path:
    path = Path(os.path.normpath(folder.expanduser()))
    if not path.is_absolute():
        raise ValueError(f"'{folder}': give the whole path, from / on")
    return path


class SourceTable(BaseModel):
    """A table `[[source]]` of the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, AfterValidator(_valid_name)]
    folder: Annotated[Path, AfterValidator(_valid_folder)]
    in_place: bool = False
    group: Annotated[str, Field(min_length=1)] | None = None
    filed_as: Literal["flat", "tree"] | None = None
    ignore: tuple[str, ...] | None = None
    model: Annotated[str, Field(min_length=1)] | None = None


def why_not(
    home: Path, tables: Sequence[SourceTable], real: Callable[[Path], Path] = lambda path: path
) -> str | None:
    """Why these sources cannot be used in a home; None if they can.

    Args:
        home: The home's folder.
        tables: The sources.
        real: Where a folder is; by following links, which looks at disks that may be away.
    """
    seen: dict[str, Path] = {}
    for table in tables:
        if table.name in seen:
            return f"two of them are named {table.name!r}; give each its own name"
        here = real(table.folder)
        for name, folder in (("this home", home), *seen.items()):
            if here.is_relative_to(folder) or folder.is_relative_to(here):
                what = f"folder {here} of {table.name!r} and {folder} of {name!r} overlap"
                return f"{what}: each file may have one source alone"
        seen[table.name] = here
    return None


def require_apart(home: Path, tables: Sequence[SourceTable]) -> None:
    """Check that no source leads by links into another one or into the home.

    Raises:
        VidwatchError: one does.
    """
    answers = Answers()

    def real(path: Path) -> Path:
        try:
            return Path(answers.of(os.fsencode(path), lambda: os.path.realpath(path)))
        except TimeoutError:  # a share that is away must not hold up the start
            return path

    if reason := why_not(home, tables, real):
        raise VidwatchError(f"setting 'source': {reason}")


def _as_text(folders: list[bytes]) -> list[str]:
    return [folder.decode("utf-8", "backslashreplace") for folder in folders]

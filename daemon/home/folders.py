"""Where each file of a home belongs, and which files lie there. Moves nothing.

Paths of videos are bytes here, which pathlib does not take.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from daemon.home.identity import Identity, base_name, identify
from daemon.home.left_alone import LeftAlone
from daemon.home.sources import OnFiled, Source, holds_any
from learner.folders import fits, walk
from learner.groups import group_of

OUR_FOLDERS = ("classified", "duplicates", "failed", "trash")  # only we put files there
UNSURE_NAME = "_unsure"  # no class can have this name
UNSURE = os.fsencode(UNSURE_NAME)


ClassFolder = tuple[str, str]
"""`classified` or `labelled`, and the folder in it."""


class Found(NamedTuple):
    """A file that lies in a home."""

    path: bytes
    identity: Identity
    group: str | None = None
    """Its group, if its name or its folder names one."""
    source: str | None = None
    """The folder in the inbox that it lies in; None if it lies in none. Of another source, its name
    with the folder in it."""
    origin: bytes | None = None
    """The folder of the source or archive that it lies in; None if that is the inbox."""
    on_filed: OnFiled | None = None
    """What becomes of it when its video is predicted; None: it is moved."""
    own_model: str | None = None
    """The model that its source has for itself; None: the champion predicts it."""


class Folders:
    """The places in a home where files belong. All paths are bytes, below `root`."""

    def __init__(
        self,
        root: Path,
        *,
        tree: bool = False,
        sources: Sequence[Source] = (),
        on_filed: OnFiled | None = None,
    ) -> None:
        """The places in the home at `root`.

        Args:
            root: The home.
            tree: Whether files keep the sub-folders of the inbox, or of a class folder, that they
                lie in (`filed_as = "tree"`).
            sources: The folders that videos come from beside the inbox.
            on_filed: What becomes of the files of the inbox; None: they are moved.
        """
        self.root = os.fsencode(root)
        self.sources = sources
        self._tree = tree
        self.on_filed = on_filed

    def resting_place(
        self,
        path: bytes,
        *,
        predicted: str,
        unsure: bool,
        label: str | None = None,
        is_duplicate: bool = False,
    ) -> bytes | None:
        """Where the file of a predicted video belongs; None if it lies in that class folder.

        Args:
            path: Where the file is.
            predicted: The class that the model predicts.
            unsure: Whether the model, or a person, is unsure of the class.
            label: The class that a person gave. It counts more than all else.
            is_duplicate: Whether the same content was predicted before.
        """
        if label is not None:
            folder = ("labelled", label)
        elif is_duplicate:
            return self.duplicate(path)
        elif unsure:
            folder = ("classified", UNSURE_NAME)
        else:
            folder = ("classified", predicted)
        if self.class_folder(path) == folder:
            return None
        return self._at(path, *map(os.fsencode, folder))

    def failed(self, path: bytes) -> bytes:
        """The place of a file that cannot be classified."""
        return self._at(path, b"failed")

    def duplicate(self, path: bytes) -> bytes:
        """The place of a file whose content was predicted before."""
        return self._at(path, b"duplicates")

    def unsure(self) -> bytes:
        """The folder of the unsure files."""
        return b"/".join((self.root, b"classified", UNSURE))

    def class_folder_of(self, name: str) -> bytes:
        """The folder of the files that are predicted as a class; `_unsure` is one, too."""
        return b"/".join((self.root, b"classified", os.fsencode(name)))

    def duplicates(self) -> bytes:
        """The folder of files whose content was predicted before."""
        return self.root + b"/duplicates"

    def labelled(self) -> bytes:
        """The folder that holds a folder for each class that people gave."""
        return self.root + b"/labelled"

    def trash(self) -> bytes:
        """The folder of files that are to be deleted."""
        return self.root + b"/trash"

    def is_in_trash(self, path: bytes) -> bool:
        """Whether a path lies below the trash."""
        return path.startswith(self.trash() + b"/")

    def trashed(self, path: bytes) -> bytes | None:
        """The place in the trash of a file in `classified/` or `duplicates/`. Else None.

        The first has its class's folder there, too.
        """
        for top, place in ((b"classified", b"/trash"), (b"duplicates", b"/trash/duplicates")):
            above = b"/".join((self.root, top))
            if path.startswith(above + b"/"):
                return self.root + place + path[len(above) :]
        return None

    def is_in_inbox(self, path: bytes) -> bool:
        """Whether a path lies below the inbox."""
        return path.startswith(self.root + b"/inbox/")

    def source_at(self, path: bytes) -> Source | None:
        """The source that a path lies below; None if it lies below none."""
        return next((source for source in self.sources if source.holds(path)), None)

    def placed(self, file: Found, pattern: re.Pattern[str]) -> Found:
        """A file that was found, with its group, its source, and what becomes of it."""
        source = self.source_at(file.path)
        if source is not None:
            return file._replace(
                group=source.group_of(file.path, pattern),
                source=source.source_of(file.path),
                origin=source.folder,
                on_filed=source.on_filed,
                own_model=source.model,
            )
        return file._replace(
            group=group_at(file.path, self.root, pattern),
            source=source_of(file.path, self.root),
            on_filed=self.on_filed if self.is_in_inbox(file.path) else None,
        )

    def class_folder(self, path: bytes) -> ClassFolder | None:
        """`classified` or `labelled`, and the folder in it that `path` lies below. Else None."""
        if not path.startswith(self.root + b"/"):
            return None
        kind, *inner = path[len(self.root) + 1 :].split(b"/")
        if kind not in (b"classified", b"labelled") or len(inner) < 2:
            return None
        return kind.decode(), os.fsdecode(inner[0])

    def may_be_away(self, path: bytes) -> bool:
        """Whether a disk may be missing that a file in the home lies on, if the file is not there.

        It may be if the top folder is gone or empty, as the place of a disk that is not mounted
        is, or the same of a class folder that is a link. The inbox is empty as a rule, so this says
        nothing of files in it.
        """
        if not path.startswith(self.root + b"/") or self.is_in_inbox(path):
            return False
        top, *inner = path[len(self.root) + 1 :].split(b"/")[:-1]
        folder = os.path.join(self.root, top)
        if not holds_any(folder):
            return True
        class_folder = os.path.join(folder, *inner[:1])
        return os.path.islink(class_folder) and not holds_any(class_folder)

    def still_wanted(self, row: Mapping[Any, Any], path: bytes) -> bytes | None:
        """Where a file that was found at `path` is still to be moved to.

        None if it lies in that class folder.

        Args:
            row: Its row of `videos`: the former `path`, and the `destination`.
            path: Where it is.
        """
        wanted: bytes | None = row["destination"]
        if wanted is None:
            return None
        root = self.former_root(row["path"], path)
        if root is not None and wanted.startswith(root + b"/"):
            wanted = self.root + wanted[len(root) :]
        return None if self.class_folder(wanted) == self.class_folder(path) else wanted

    def former_root(self, before: bytes, path: bytes) -> bytes | None:
        """Where the home was, if a file was at the same place in it as `path` is in this home.

        None if the file was in this home, or elsewhere.
        """
        if before.startswith(self.root + b"/") or not before.endswith(path[len(self.root) :]):
            return None
        return before[: len(before) - len(path) + len(self.root)]

    def _at(self, path: bytes, top: bytes, *folders: bytes) -> bytes:
        source = self.source_at(path)
        if source is not None:
            kept = [os.fsencode(source.name), *source.folders_of(path)] if source.tree else []
        else:
            kept = folders_of(path, self.root) if self._tree else []
        # A class folder is a step more than the inbox: what would be nested too deep stays flat.
        for inner in (b"/".join((*folders, *kept)), b"/".join(folders)):
            if fits(self.root + b"/" + top, inner):
                break
        return b"/".join((self.root, top, *([inner] if inner else []), base_name(path)))


def below(folder: Path, path: Path) -> Path | None:
    """A path as one below a folder, by whatever links the path leads to the folder.

    Links below the folder do not count: a folder in a home may be a link to another disk.

    Args:
        folder: Without links.
        path: Absolute.

    Returns:
        None if the path is not below the folder.
    """
    if ".." in path.parts:
        return None
    for above in path.parents:
        if os.path.realpath(above) == str(folder):
            return folder / path.relative_to(above)
    return None


BATCH = 200  # files
DEFAULT = LeftAlone()  # compiles its patterns when they are first needed


def files_below(
    folder: Path,
    trouble: Callable[[OSError], object] = lambda error: None,
    left_alone: LeftAlone = DEFAULT,
) -> Iterator[list[Found]]:
    """The files below a folder, `BATCH` at a time, without those that the daemon leaves alone.

    Links are not followed. `trouble` gets the error of each folder that cannot be searched.
    """
    found = _found_below(os.fsencode(folder), trouble, left_alone)
    while batch := list(islice(found, BATCH)):
        yield batch


def _found_below(
    root: bytes, trouble: Callable[[OSError], object], left_alone: LeftAlone
) -> Iterator[Found]:
    def enter(folder: bytes) -> bool:
        return not left_alone.folder(folder[len(root) + 1 :])

    for opened, folder, names in walk(root, enter=enter, trouble=trouble):
        for name in names:
            path = os.path.join(folder, name)
            if left_alone.file(path[len(root) + 1 :]):
                continue
            if identity := identify(name, opened):
                yield Found(path, identity)


def group_at(path: bytes, root: bytes, pattern: re.Pattern[str]) -> str | None:
    """The group of a file in the home at `root`, if its name or its folder names one.

    A folder in the inbox is a group, and so is a folder in a class folder. With `filed_as = "tree"`
    the file keeps that folder, so that both name the same group.
    """
    name = base_name(path).decode("utf-8", "backslashreplace")
    return group_of(name, _as_text(folders_of(path, root)), pattern)


def sub_folder(path: bytes, root: bytes) -> str | None:
    """The group that the folder of a file in the home at `root` names; None if it names none."""
    return "/".join(_as_text(folders_of(path, root))) or None


def source_of(path: bytes, root: bytes) -> str | None:
    """The folder that a file lies in, as a path below the inbox.

    None if it lies in the inbox itself, or elsewhere.
    """
    return sub_folder(path, root) if path.startswith(root + b"/inbox/") else None


def folders_of(path: bytes, root: bytes) -> list[bytes]:
    """The folders in the inbox, in a class folder, or in a folder of ours that a file lies in."""
    if not path.startswith(root + b"/"):
        return []
    top, *folders, _ = path[len(root) + 1 :].split(b"/")
    return folders[1:] if top in (b"classified", b"labelled", b"trash") else folders


def _as_text(folders: list[bytes]) -> list[str]:
    return [folder.decode("utf-8", "backslashreplace") for folder in folders]

"""Finds the files and the classes that tables mean, and what is wrong with them. Only reads."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from daemon.home.folders import Folders, Found
from daemon.home.identity import base_name, identify
from daemon.home.sidecars import is_video_by_name
from daemon.home.sources import OnFiled, Source
from daemon.home.texts import printable
from daemon.labels.importing.entries import Entry, Table, encoding_hint
from daemon.labels.lookup import TableClasses
from learner.classes import normal_name
from learner.errors import VidwatchError
from learner.groups import group_of

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_LOCAL = "file://"
NO_VIDEO = "no videos by their names"
IS_EMPTY = "empty"

Key = tuple[int | None, int] | str
"""What tells a file: its device and inode; its name in the table if it is not there."""


@dataclass
class Labelled:
    """A file, and the class that the tables give it."""

    where: str
    """Where that stands first."""
    name: str
    """As the table writes it."""
    class_name: str
    file: Found | None
    """None if no file is there: it may be the name of a known video."""
    others: set[str] = field(default_factory=set)
    """Other classes that it has, too, if the format allows several."""


class Resolving:
    """The files and the classes of tables."""

    def __init__(
        self,
        folders: Folders,
        pattern: re.Pattern[str],
        classes: TableClasses,
        on_filed: OnFiled,
        progress: Callable[[int, int | None], None],
    ) -> None:
        """Nothing is found yet.

        Args:
            folders: Of the home.
            pattern: How names state groups.
            classes: Those that there are; those of the tables are added.
            on_filed: What becomes of files that are not known.
            progress: Gets how many files were looked for, and of how many.
        """
        self.errors: list[str] = []
        """What is wrong, each with its line."""
        self.skipped = defaultdict[str, list[str]](list)
        """The lines or files that give no label, by the reason."""
        self._folders = folders
        self._pattern = pattern
        self._classes = classes
        self._on_filed = on_filed
        self._progress = progress
        self._found: dict[Key, Labelled] = {}
        self._named: dict[str, str | VidwatchError] = {}

    def resolve(self, tables: Sequence[Table]) -> list[Labelled]:
        """The labelled files of tables; `errors` says what is wrong with the others."""
        total = sum(len(table.entries) for table in tables)
        n_seen = 0
        for table in tables:
            before = f"{printable(table.path.name)}, " if len(tables) > 1 else ""
            self.errors += [before + error for error in table.errors]
            for reason, names in table.skipped.items():
                self.skipped[reason] += names
            real = Path(os.path.realpath(table.folder))
            for entry in table.entries:
                where = before + entry.where
                try:
                    self._take(table, real, entry._replace(where=where))
                except VidwatchError as error:
                    self.errors.append(f"{where}: {error}")
                n_seen += 1
                if n_seen % 1000 == 0:
                    self._progress(n_seen, total)
        return list(self._found.values())

    def _take(self, table: Table, folder: Path, entry: Entry) -> None:
        if entry.file.startswith(_LOCAL):
            local = unquote(entry.file.removeprefix(_LOCAL), errors="surrogateescape")
            entry = entry._replace(file=local)
        if _ADDRESS.match(entry.file):
            what = f"{printable(entry.file)!r} is an address; download the file, and give its path"
            raise VidwatchError(what)
        ending = os.path.splitext(entry.file)[1].lower()
        if not _may_be_video(ending):
            if not table.may_name_others:
                raise VidwatchError(f"{printable(entry.file)!r} is no video, by its name")
            self.skipped[f"{NO_VIDEO} ({printable(ending)})"].append(entry.file)
            return
        path = _path_of(os.fsencode(folder), entry.file)
        class_name = self._class(entry.class_name)
        file = None if path is None else self._placed(path, os.fsencode(folder), entry, class_name)
        if file is not None and not file.identity.size:
            if not table.is_folder:
                raise VidwatchError(f"{printable(entry.file)!r} is empty")
            self.skipped[IS_EMPTY].append(entry.file)
            return
        key = entry.file if file is None else file.identity[:2]
        before = self._found.setdefault(key, Labelled(entry.where, entry.file, class_name, file))
        if before.class_name == class_name:
            return
        if not table.may_have_several:
            both = f"{class_name!r} here, and {before.class_name!r} in {before.where}"
            raise VidwatchError(f"{printable(entry.file)!r} is of class {both}")
        before.others.add(class_name)

    def _class(self, name: str) -> str:
        """The class that a name means.

        Raises:
            VidwatchError: it can be no class, or is nearly another one.
        """
        if name not in self._named:
            try:
                self._named[name] = self._classes.named(name)
            except VidwatchError as error:
                self._named[name] = VidwatchError(f"{error}{encoding_hint(name)}")
        found = self._named[name]
        if isinstance(found, VidwatchError):
            raise found
        return found

    def _placed(self, path: bytes, folder: bytes, entry: Entry, class_name: str) -> Found | None:
        """A file, with its group and its source; None if it is none.

        Raises:
            VidwatchError: it cannot be looked at.
        """
        try:
            identity = identify(path)
        except OSError as error:
            what = f"{printable(entry.file)!r} cannot be looked at ({error.strerror})"
            raise VidwatchError(what) from error
        if identity is None:
            return None
        file = Found(path, identity)
        is_ours = path.startswith(self._folders.root + b"/")
        if is_ours or self._folders.source_at(path) is not None:
            return self._folders.placed(file, self._pattern)
        above = folder if path.startswith(folder.rstrip(b"/") + b"/") else os.path.dirname(path)
        source = _source(above, self._on_filed)
        return file._replace(
            group=self._group(source, path, {entry.class_name, class_name}),
            source=source.source_of(path),
            origin=source.folder,
            on_filed=source.on_filed,
        )

    def _group(self, source: Source, path: bytes, names: set[str]) -> str | None:
        """The group of a file: by its name, else by the folder in its class folder.

        All clips of a class are not one recording, and neither are those of "train" and "test".
        """
        inner = [os.fsdecode(name) for name in source.folders_of(path)]
        forms = {_normal(name) for name in names}
        at = next((i for i, name in enumerate(inner) if _normal(name) in forms), None)
        if at is not None:
            inner = inner[at + 1 :]
        text = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in inner]
        name = base_name(path).decode("utf-8", "backslashreplace")
        return group_of(name, [source.name, *text] if text else [], self._pattern)


def not_there(labelled: Labelled) -> str:
    """What is wrong with a line whose file is not there, and no video has its name."""
    what = f"no file {printable(labelled.name)!r}, and no video of that name in the database"
    return f"{labelled.where}: {what}{encoding_hint(labelled.name)}"


def _path_of(folder: bytes, word: str) -> bytes | None:
    """The file that a table means, without links; None if it is not there."""
    for form in _forms(word):
        path = os.path.join(folder, os.fsencode(form))
        if os.path.isfile(path):
            place = os.path.join(_real_folder(os.path.dirname(path)), base_name(path))
            return os.path.realpath(place) if os.path.islink(place) else place
    return None


def _forms(word: str) -> Iterator[str]:
    """How the path of a file may be written on this machine, the likeliest first.

    macOS writes the "ö" of a name as two characters, Windows writes "\\" between folders, and
    Kaggle's tables begin paths within the data set with "/".
    """
    yield word
    slashed = word.replace("\\", "/")
    within = slashed.lstrip("/")
    for text in dict.fromkeys((slashed, within)):
        for form in ("NFC", "NFD"):
            yield unicodedata.normalize(form, text)
        yield text


_normal = lru_cache(maxsize=1024)(normal_name)


@lru_cache(maxsize=1024)
def _may_be_video(ending: str) -> bool:
    return is_video_by_name(os.fsencode(f"a{ending}"))


@lru_cache(maxsize=1024)
def _source(folder: bytes, on_filed: OnFiled) -> Source:
    return Source(folder, printable(Path(os.fsdecode(folder)).name), on_filed)


@lru_cache(maxsize=1024)
def _real_folder(folder: bytes) -> bytes:
    return os.path.realpath(folder)

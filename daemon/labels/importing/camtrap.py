"""Reads the tables of a Camtrap DP package: `media.csv` and `observations.csv`.

https://camtrap-dp.tdwg.org/data/
"""

import io
import json
import zipfile
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path, PurePosixPath

from daemon.home.texts import printable
from daemon.labels.importing.csv_tables import Lines
from daemon.labels.importing.entries import LARGEST, Entry, Table, as_text, read_bytes
from learner.classes import EMPTY
from learner.errors import VidwatchError

MEDIA = "media.csv"
OBSERVATIONS = "observations.csv"
PACKAGE = "datapackage.json"
CLASS_TAG = "class:"
_MEDIA_COLUMNS = ("mediaID", "filePath")
_OBSERVATION_COLUMNS = ("mediaID", "observationType")

Rows = Sequence[tuple[int, Mapping[str, str]]]


@dataclass(frozen=True)
class _Medium:
    """A row of `media.csv`."""

    file: str
    is_video: bool
    deployment: str
    time: datetime | None


InTime = Sequence[tuple[datetime, _Medium]]
"""Media with their times, in order."""


def is_package(folder: Path) -> bool:
    """Whether a folder holds a Camtrap DP package."""
    has_tables = (folder / MEDIA).is_file() and (folder / OBSERVATIONS).is_file()
    return has_tables or (folder / PACKAGE).is_file()


def read_folder(folder: Path) -> Table:
    """The labels of a package in a folder.

    Raises:
        VidwatchError: a table is missing, or lacks a column.
    """
    names = {}
    package = folder / PACKAGE
    if package.is_file():
        names = _resources(package, as_text(read_bytes(package), package))
    texts = {}
    for name in (MEDIA, OBSERVATIONS):
        path = folder / names.get(name, name)
        if not path.is_file():
            raise VidwatchError(f"{printable(str(folder))}: no {path.name} in this Camtrap DP")
        texts[name] = as_text(read_bytes(path), path)
    return _read(folder, folder, texts)


def read_zip(path: Path) -> Table | None:
    """The labels of a package in a ZIP file, whose clips lie beside it; None if it is none.

    Raises:
        VidwatchError: it is damaged, or a table lacks a column.
    """
    texts = {}
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(path))) as archive:
            for info in archive.infolist():
                name = PurePosixPath(info.filename).name
                if name in (MEDIA, OBSERVATIONS):
                    if info.file_size > LARGEST:
                        raise VidwatchError(f"{printable(str(path))}: {name} is too large")
                    texts[name] = as_text(archive.read(info), path)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise VidwatchError(f"{printable(str(path))}: a ZIP that cannot be read") from error
    return _read(path, path.parent, texts) if len(texts) == 2 else None


def _resources(path: Path, text: str) -> dict[str, str]:
    """The files of the tables that a package names."""
    try:
        found = {
            f"{resource['name']}.csv": resource["path"]
            for resource in json.loads(text)["resources"]
            if isinstance(resource.get("path"), str)
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VidwatchError(f"{printable(str(path))}: no description of a data package") from error
    for name in (MEDIA, OBSERVATIONS):
        inner = PurePosixPath(found.get(name, name))
        if "://" in found.get(name, "") or inner.is_absolute() or ".." in inner.parts:
            raise VidwatchError(f"{printable(str(path))}: {name} is not beside it; download it")
    return found


def _read(path: Path, folder: Path, texts: Mapping[str, str]) -> Table:
    table = Table(path, "Camtrap DP", folder, may_have_several=True, may_name_others=True)
    media = _read_media(table, texts[MEDIA])
    in_time = _in_time(media.values())
    for number, row in _rows(table, OBSERVATIONS, texts[OBSERVATIONS], _OBSERVATION_COLUMNS):
        where = f"{OBSERVATIONS}, line {number}"
        name = row["mediaID"]
        class_name = _class_of(row)
        medium = media.get(name) if name else _only_one(row, in_time)
        if row.get("classificationMethod") == "machine":
            table.skipped["observations by machines"].append(where)
        elif class_name is None:
            kind = row["observationType"] or "unclassified"
            table.skipped[f"observations of the type {kind!r} without a class"].append(where)
        elif medium is not None:
            if medium.is_video:
                table.entries.append(Entry(medium.file, class_name, where))
        elif name:
            table.errors.append(f"{where}: no media {name!r} in {MEDIA}")
        else:
            table.skipped["observations of events with several media, or none"].append(where)
    return table


def _read_media(table: Table, text: str) -> dict[str, _Medium]:
    """The rows of `media.csv`, by their ids."""
    media = {}
    for _, row in _rows(table, MEDIA, text, _MEDIA_COLUMNS):
        kind = row.get("fileMediatype") or "video"
        medium = _Medium(
            file=row["filePath"],
            is_video=kind.startswith("video"),
            deployment=row.get("deploymentID", ""),
            time=_time(row.get("timestamp")),
        )
        media[row["mediaID"]] = medium
        if not medium.is_video:
            table.skipped[f"media of the type {kind}"].append(medium.file)
    return media


def _in_time(media: Iterable[_Medium]) -> dict[str, InTime]:
    """The media of each deployment that have a time, in the order of their times."""
    found = defaultdict(list)
    for medium in media:
        if medium.time is not None:
            found[medium.deployment].append((medium.time, medium))
    return {name: sorted(pairs, key=itemgetter(0)) for name, pairs in found.items()}


def _rows(table: Table, name: str, text: str, needed: Sequence[str]) -> Rows:
    lines = Lines(text)
    if missing := [column for column in needed if column not in lines.columns]:
        what = f"{name} has no column {' and no '.join(missing)}"
        raise VidwatchError(f"{printable(str(table.path))}: {what}")
    rows = list(lines)
    table.errors += [f"{name}, line {number}: {error}" for number, error in lines.errors]
    return rows


def _class_of(row: Mapping[str, str]) -> str | None:
    """The class that an observation gives; None if it gives none."""
    kind = row["observationType"]
    name = row.get("scientificName", "") or _tagged(row.get("observationTags", ""))
    if kind == "blank":
        return EMPTY
    if kind in ("animal", ""):
        return name or None
    if kind in ("human", "vehicle"):
        return name or kind
    return name if kind == "unknown" and name else None


def _tagged(tags: str) -> str:
    """The class that our own export wrote as a tag, since it is no species; empty if none."""
    found = (tag.strip() for tag in tags.split("|"))
    return next((tag.removeprefix(CLASS_TAG) for tag in found if tag.startswith(CLASS_TAG)), "")


def _only_one(row: Mapping[str, str], in_time: Mapping[str, InTime]) -> _Medium | None:
    """The medium of an event that has no other one; None if nothing says which one it is of."""
    pairs = in_time.get(row.get("deploymentID", ""), ())
    start = _time(row.get("eventStart"))
    end = _time(row.get("eventEnd"))
    if start is None or end is None:
        return None
    first = bisect_left(pairs, start, key=itemgetter(0))
    after = bisect_right(pairs, end, key=itemgetter(0))
    return pairs[first][1] if after - first == 1 else None


def _time(text: str | None) -> datetime | None:
    """A time of ISO 8601; one without a zone counts as UTC, as they are only compared."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

"""Recognises which format a table, list or folder of labels has, by what is in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from daemon.home.texts import printable, shortened
from daemon.labels.importing import camtrap
from daemon.labels.importing.csv_tables import read_csv
from daemon.labels.importing.entries import Table, as_text, read_bytes
from daemon.labels.importing.trees import read_tree
from daemon.labels.importing.ucf_lists import (
    CLASSES,
    LIST_NAME,
    is_class_list,
    is_list,
    read_list,
)
from learner.errors import VidwatchError

KNOWN = (
    "vidwatch knows CSV with the columns 'file' and 'label'; zamba's 'filepath,label'; "
    "Kaggle's 'clip_name,clip_path,label' of UCF101; UCF101's trainlist01.txt and "
    "testlist01.txt; a folder of class folders; Timelapse's CSV with 'File' and 'RelativePath'; "
    "Camtrap DP (a folder or ZIP with media.csv and observations.csv)"
)


def read_tables(
    paths: Sequence[Path], files: Path | None, column: str | None, ignore: Sequence[str] = ()
) -> list[Table]:
    """The labels in tables, lists and folders.

    Args:
        paths: The tables, lists and folders.
        files: What the paths of their files begin at. None: at the folder of each table.
        column: The column of the classes of CSV tables. None: the one of the format.
        ignore: What is left alone in folders, as the setting `ignore` has it.

    Raises:
        VidwatchError: one is not there, cannot be read, or has no known format; or nothing in it
            gives a label.
    """
    if files is not None and not files.is_dir():
        raise VidwatchError(f"{printable(str(files))}: there is no such folder (--files)")
    tables = []
    for path in dict.fromkeys(_packages(paths)):
        for table in _read(path, column, ignore, given=paths):
            tables.append(replace(table, folder=files) if files is not None else table)
    if column is not None and not any(table.path.suffix.lower() == ".csv" for table in tables):
        raise VidwatchError("import: --column names a column of a CSV table; there is none")
    return tables


def _packages(paths: Sequence[Path]) -> list[Path]:
    """The paths, with the folder of a Camtrap DP in the place of its tables."""
    names = (camtrap.MEDIA, camtrap.OBSERVATIONS, camtrap.PACKAGE)
    return [
        path.parent if path.name in names and camtrap.is_package(path.parent) else path
        for path in paths
    ]


def _read(
    path: Path, column: str | None, ignore: Sequence[str], given: Sequence[Path]
) -> list[Table]:
    if path.is_dir():
        return _read_folder(path, ignore)
    data = read_bytes(path)
    if data.startswith(b"PK\3\4"):
        found = camtrap.read_zip(path)
        if found is None:
            raise _unknown(path, "a ZIP without media.csv and observations.csv")
        return [found]
    text = as_text(data, path)
    if is_class_list(text):
        if any(LIST_NAME.fullmatch(other.name) for other in given):
            return []  # it is read with the lists
        hint = "give trainlist01.txt or testlist01.txt, with this file beside it"
        raise VidwatchError(f"{printable(str(path))}: it names classes alone; {hint}")
    table = read_csv(path, text, column)
    if table is not None:
        return [table]
    if is_list(text):
        return [read_list(path, text)]
    first = text.lstrip().partition("\n")[0].strip()
    raise _unknown(path, f"its first line is {shortened(first)!r}" if first else "it is empty")


def _read_folder(path: Path, ignore: Sequence[str]) -> list[Table]:
    if camtrap.is_package(path):
        return [camtrap.read_folder(path)]
    lists = sorted(inner for inner in path.iterdir() if LIST_NAME.fullmatch(inner.name))
    if lists:
        return [read_list(inner, as_text(read_bytes(inner), inner)) for inner in lists]
    table = read_tree(path, ignore)
    if table is None:
        raise _unknown(path, f"a folder without tables, {CLASSES} lists and class folders")
    return [table]


def _unknown(path: Path, what: str) -> VidwatchError:
    return VidwatchError(f"{printable(str(path))}: no known table of labels ({what}); {KNOWN}")

"""Reads the split files of UCF101: `trainlist01.txt`, `testlist01.txt`, and `classInd.txt`.

A line has a path and the number of its class, `Biking/v_Biking_g01_c01.avi 11`; those of the test
lists have the path alone. The folder is the class. Which list a clip is in says nothing to us.
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from daemon.home.texts import printable
from daemon.labels.importing.entries import Entry, Table, as_text, read_bytes

LIST_NAME = re.compile(r"(train|test)list\d*\.txt", re.ASCII)
CLASSES = "classInd.txt"
_LINE = re.compile(r"(?P<file>\S.*?\.\w+)(?:\s+(?P<number>\d{1,9}))?", re.ASCII)
_CLASS = re.compile(r"(\d{1,9})\s+(\S.*)", re.ASCII)


def is_list(text: str) -> bool:
    """Whether a text looks like a split file, by its first line."""
    return bool(_LINE.fullmatch(_first_line(text)))


def is_class_list(text: str) -> bool:
    """Whether a text looks like `classInd.txt`, by its first line."""
    return bool(_CLASS.fullmatch(_first_line(text)))


def read_list(path: Path, text: str) -> Table:
    """The labels of a split file. A `classInd.txt` beside it is compared with its numbers."""
    beside = path.with_name(CLASSES)
    has_names = beside.is_file()
    names = _class_names(as_text(read_bytes(beside), beside)) if has_names else {}
    table = Table(path, "UCF101 list", path.parent)
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None:
            table.errors.append(f"line {number}: {printable(line.strip())!r} is no path of a clip")
            continue
        file = found["file"]
        folder = PurePosixPath(file.replace("\\", "/")).parent.name
        by_number = names.get(int(found["number"] or 0))
        if has_names and found["number"] and not by_number:
            table.errors.append(f"line {number}: no class {found['number']} in {CLASSES}")
        elif folder and by_number and folder != by_number:
            differs = f"its folder is {folder!r}, but class {found['number']} is {by_number!r}"
            table.errors.append(f"line {number}: {differs} in {CLASSES}")
        elif class_name := folder or by_number:
            table.entries.append(Entry(file, class_name, f"line {number}"))
        else:
            hint = f"put {CLASSES} beside the list" if found["number"] else "it is in no folder"
            table.errors.append(f"line {number}: nothing says of which class it is; {hint}")
    return table


def _class_names(text: str) -> Mapping[int, str]:
    """The names of the classes, by their numbers."""
    lines = (_CLASS.fullmatch(line.strip()) for line in text.splitlines())
    return {int(found[1]): found[2] for found in lines if found}


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0].strip()

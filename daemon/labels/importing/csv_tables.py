"""Reads CSV tables with a column of files and a column of classes.

Tables of our own (`file,label`), of zamba (`filepath,label`), of UCF101 as Kaggle has it
(`clip_name,clip_path,label`), and of Timelapse (`File,RelativePath`, and columns that its users
name).
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from daemon.home.texts import printable
from daemon.labels.importing.entries import Entry, Table
from learner.classes import EMPTY
from learner.errors import VidwatchError
from learner.texts import listed

PATHS = {"file": "table with file and label", "filepath": "zamba", "clip_path": "UCF101"}
"""The columns of files, in small letters, and the format that each belongs to."""
LABEL = "label"
TIMELAPSE = {"file", "relativepath"}
# Columns that Timelapse makes itself, in all its versions.
OF_TIMELAPSE = TIMELAPSE | {
    "rootfolder", "datetime", "date", "time", "utcoffset", "deleteflag", "imagequality", "dark",
    "folder", "markfordeletion",
}  # fmt: skip
NAMED = 20  # columns that a message names
NO_CLASS = "without a class"

Row = Mapping[str | None, str | list[str] | None]


class Lines:
    """The lines of a CSV table, by the names of its columns."""

    def __init__(self, text: str) -> None:
        # In countries with a decimal comma, Excel separates columns by semicolons.
        first = text.lstrip().partition("\n")[0]
        delimiter = max(",;\t", key=first.count)
        file = io.StringIO(text, newline="")
        self._reader = csv.DictReader(file, strict=True, delimiter=delimiter)
        self.errors: list[tuple[int, str]] = []
        """What is wrong with lines that are left out, by their numbers."""
        try:
            self.columns = [name.strip() for name in self._reader.fieldnames or ()]
        except csv.Error:
            self.columns = []
        self._reader.fieldnames = self.columns

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The number of each line, and what is in its columns, without spaces around it."""
        while True:
            try:
                row: Row | None = next(self._reader, None)
            except csv.Error as error:
                self.errors.append((self._reader.line_num, f"cannot be read as CSV ({error})"))
                return
            if row is None:
                return
            if None in row:
                more = "more columns than the first line names"
                self.errors.append((self._reader.line_num, more))
                continue
            values = {str(name): str(value or "").strip() for name, value in row.items()}
            yield self._reader.line_num, values


def read_csv(path: Path, text: str, column: str | None) -> Table | None:
    """The labels of a CSV table; None if its first line names no column of files.

    Args:
        path: Of the table.
        text: What is in it.
        column: The column of the classes, if it has another name.

    Raises:
        VidwatchError: it has no column of classes.
    """
    lines = Lines(text)
    by_name = {name.casefold(): name for name in reversed(lines.columns)}
    if by_name.keys() >= TIMELAPSE:
        own = [name for name in lines.columns if name.casefold() not in OF_TIMELAPSE]
        label = _class_column(path, column, own, own[0] if len(own) == 1 else None)
        table = Table(path, "Timelapse", path.parent, may_have_several=True, may_name_others=True)
        files = (by_name["relativepath"], by_name["file"])
        _fill(table, lines, files, label, blank_is_none=True)
        return table
    found = next((name for name in PATHS if name in by_name), None)
    if found is None:
        return None
    others = [name for name in lines.columns if name != by_name[found]]
    label = _class_column(path, column, others, by_name.get(LABEL))
    kind = PATHS[found]
    table = Table(path, kind, path.parent, may_have_several=kind == "zamba")
    _fill(table, lines, (by_name[found],), label, blank_is_none=False)
    return table


def _class_column(
    path: Path, column: str | None, candidates: Sequence[str], usual: str | None
) -> str:
    """The column that the classes stand in."""
    if column is None and usual is not None:
        return usual
    if column in candidates:
        return str(column)
    asked = f"no column {column!r}" if column else "nothing says which column has the classes"
    names = listed(candidates, NAMED) or "none"
    hint = f"give --column NAME; the table has: {names}"
    raise VidwatchError(f"{printable(str(path))}: {asked}; {hint}")


def _fill(
    table: Table, lines: Lines, files: Sequence[str], label: str, *, blank_is_none: bool
) -> None:
    """Read the lines of a table.

    Args:
        table: Gets what is in them.
        lines: The lines.
        files: The columns that make the path of a file.
        label: The column of the class.
        blank_is_none: Whether a line may have no class.
    """
    errors = []
    for number, row in lines:
        name = "/".join(part for part in (row[column] for column in files) if part)
        class_name = row[label]
        if not row[files[-1]]:
            if any(row.values()):
                errors.append((number, "it names no file"))
        elif class_name:
            if table.kind == "zamba" and class_name.casefold() == "blank":
                class_name = EMPTY
            table.entries.append(Entry(name, class_name, f"line {number}"))
        elif blank_is_none:
            table.skipped[NO_CLASS].append(name)
        else:
            errors.append((number, f"{printable(name)!r} has no class"))
    errors = sorted([*errors, *lines.errors])
    table.errors += [f"line {number}: {text}" for number, text in errors]

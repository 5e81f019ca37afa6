"""Reads a folder that has a folder of clips for each class."""

import os
from collections.abc import Sequence
from pathlib import Path

from daemon.home.folders import files_below
from daemon.home.left_alone import LeftAlone
from daemon.home.texts import shown_path
from daemon.labels.importing.entries import Entry, Table
from learner.classes import is_no_class

IN_NO_FOLDER = "in no class folder"


def read_tree(path: Path, ignore: Sequence[str]) -> Table | None:
    """The labels of a folder of class folders; None if it has no folder with a file.

    Args:
        path: The folder.
        ignore: What is left alone in it, as the setting `ignore` has it.
    """
    table = Table(path, "class folders", path, may_name_others=True, is_folder=True)

    def note(error: OSError) -> None:
        where = shown_path(os.fsencode(error.filename or b""))
        table.errors.append(f"{where}: cannot be searched ({error.strerror})")

    top = os.path.realpath(os.fsencode(path))
    for batch in files_below(Path(os.fsdecode(top)), note, LeftAlone(ignore)):
        for file in batch:
            inner = os.fsdecode(file.path[len(top.rstrip(b"/")) + 1 :])
            class_name, slash, _ = inner.partition("/")
            if not slash:
                table.skipped[IN_NO_FOLDER].append(inner)
            elif not is_no_class(class_name):
                table.entries.append(Entry(inner, class_name, shown_path(os.fsencode(inner))))
    return table if table.entries or table.errors else None

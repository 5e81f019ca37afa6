"""What people call videos by: ids, paths, names, and tables of these with labels. Only reads."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from daemon.database.tables import videos
from daemon.home.identity import display_name
from daemon.labels.labels import Label
from daemon.labels.queries import find
from learner.classes import CLASS_NAME_RULE, is_class_name
from learner.errors import VidwatchError


def find_videos(words: Sequence[str], folder: Path, engine: Engine) -> list[int]:
    """The ids of the videos that `words` mean: each an id, a path (from `folder`), or a name.

    Raises:
        VidwatchError: one of them is unknown, or means several; names each.
    """
    found, wrong = [], []
    with engine.begin() as read:
        for word in words:
            try:
                found.append(int(_find_video(word, folder, read)["id"]))
            except VidwatchError as error:
                wrong.append(str(error))
    if wrong:
        raise VidwatchError("; ".join(wrong))
    return list(dict.fromkeys(found))


def require_class(word: str, folder: Path, engine: Engine) -> None:
    """Check that a word is meant as a class: not the last of several videos, after which the class was forgotten.

    Raises:
        VidwatchError: it means a video.
    """
    with engine.begin() as read:
        try:
            video = _find_video(word, folder, read)
        except VidwatchError:
            return
    raise VidwatchError(f"{word!r} means video {video['id']}, not a class; give the class last")


def import_csv(path: Path, engine: Engine) -> list[Label]:
    """The labels in a CSV file with the columns `file` and `label`: `file` is an id, a path, or a video's name.

    Raises:
        VidwatchError: it cannot be read, lacks a column, or has wrong lines; names each line.
    """
    said, wrong = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file, engine.begin() as read:
            # Where a comma is the decimal sign, Excel separates columns by semicolons.
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.DictReader(file, strict=True, delimiter=delimiter)
            if missing := {"file", "label"} - set(reader.fieldnames or ()):
                raise VidwatchError(
                    f"{path}: no column {' and no '.join(sorted(missing))}; its first line names them"
                )
            for row in reader:
                try:
                    said.append(_read_row(row, path.parent, read))
                except VidwatchError as error:
                    wrong.append(f"line {reader.line_num}: {error}")
    except OSError as error:
        raise VidwatchError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise VidwatchError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if wrong:
        raise VidwatchError(f"{path}: nothing was imported. " + "; ".join(wrong))
    if not said:
        raise VidwatchError(f"{path}: no labels in it")
    return said


def _read_row(row: dict[str, str | None], folder: Path, read: Connection) -> Label:
    name, label = (row["file"] or "").strip(), (row["label"] or "").strip()
    if not is_class_name(label):
        raise VidwatchError(f"label {label!r}: {CLASS_NAME_RULE}")
    if None in row:
        raise VidwatchError("more columns than the first line names")
    video = _find_video(name, folder, read)
    if video["state"] == "failed":
        raise VidwatchError(f"{name!r} could not be read, and nothing can be learned from it")
    return Label(video["id"], "labelled", label)


def _find_video(word: str, folder: Path, read: Connection) -> Any:
    if word.isascii() and word.isdecimal():
        found = find(read, videos.c.id == int(word[:18])) if len(word) < 19 else {}
    else:
        path = os.fsencode(os.path.abspath(folder / word))
        found = find(read, videos.c.path == path)
        if not found and "/" not in word:
            found = find(read, videos.c.name == display_name(os.fsencode(word)))
    # Of one file that came several times, the first is the one that has the answer.
    contents = {row["content"] for row in found.values()}
    if not contents:
        hint = (
            "put a new file into labelled/<class>/"
            if os.path.isfile(folder / word)
            else "see 'vidwatch status'"
        )
        raise VidwatchError(f"no video {word!r} in the database; {hint}")
    if len(contents) > 1:
        raise VidwatchError(f"{len(contents)} videos are named {word!r}; give the id or the path")
    return next(iter(found.values()))

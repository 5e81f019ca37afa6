"""Finds the videos that people mean by ids, paths, names, and tables of these. Only reads."""

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, Engine, and_, select

from daemon.database.files import has_numbers, is_same, rows_at
from daemon.database.tables import videos
from daemon.home.folders import Found
from daemon.home.identity import base_name, display_name, identify
from daemon.home.similar import question, similar
from daemon.home.texts import with_source
from daemon.labels.classes import DidYouMeanError, KnownClasses, did_you_mean
from daemon.labels.labels import Label
from daemon.labels.queries import find
from learner.classes import likely_meant, why_not_a_class
from learner.errors import VidwatchError
from learner.texts import listed

NAMED = 3  # videos that a message names
COMPARED_NAMES = 2000  # names of videos that are compared with a word
LIKENESS_OF_FILES = 0.75  # names of clips are alike: a number differs
LAST_CHARACTER = "\U0010ffff"
LONGEST_ID = 18  # digits: SQLite's largest integer has 19
COMPARED = ("state", "size", "mtime_ns", "sha256")  # columns that tell a row's file from others


def find_videos(words: Sequence[str], folder: Path, engine: Engine) -> list[int]:
    """The ids of the videos that `words` mean: each an id, a path (from `folder`), or a name.

    Raises:
        VidwatchError: one of them is unknown, or means several; names each.
    """
    ids = []
    errors = []
    with engine.begin() as connection:
        for word in words:
            try:
                ids.append(int(_find_video(word, folder, connection)["id"]))
            except VidwatchError as error:
                errors.append(str(error))
    if errors:
        raise VidwatchError("; ".join(errors))
    return list(dict.fromkeys(ids))


def require_class(word: str, folder: Path, engine: Engine) -> None:
    """Check that the last word of a command is a class.

    If a person forgets the class, the last word is one of the videos.

    Raises:
        VidwatchError: the word means a video.
    """
    with engine.begin() as connection:
        found = _find_all(word, folder, connection)
    are_one = len({row["content"] for row in found.values()}) == 1
    if found and (are_one or _is_number(word)):
        video = next(iter(found))
        raise VidwatchError(f"{word!r} means video {video}, not a class; give the class last")


def import_csv(path: Path, engine: Engine, *, new_class: bool = False) -> list[Label]:
    """The labels in a CSV file with the columns `file` (id, path or name of a video) and `label`.

    Args:
        path: The file.
        engine: Of the database.
        new_class: Whether a class that is nearly another one is meant.

    Raises:
        VidwatchError: it cannot be read, lacks a column, or has wrong lines; names each line.
        DidYouMeanError: as before, and a class is new, and nearly another one.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file, engine.begin() as connection:
            classes = TableClasses(KnownClasses(connection), new_class)
            labels, errors = _read_table(path, file, classes, connection)
    except OSError as error:
        raise VidwatchError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise VidwatchError(f"{path}: cannot be read as CSV in UTF-8 ({error})") from error
    if errors:
        text = f"{path}: nothing was imported. " + "; ".join(errors)
        raise DidYouMeanError(text, classes.meant) if classes.meant else VidwatchError(text)
    if not labels:
        raise VidwatchError(f"{path}: no labels in it")
    return labels


@dataclass(frozen=True)
class TableClasses:
    """The classes of a table, and those that there are."""

    known: KnownClasses
    may_be_new: bool
    """Whether a class that is nearly another one is meant."""
    meant: dict[str, str] = field(default_factory=dict)
    """The classes that were probably meant, by the names in the table."""

    def named(self, name: str) -> str:
        """The class that a name means; from then on, there is that class.

        Raises:
            VidwatchError: it can be no class, or is nearly another one.
        """
        existing = self.known.existing
        class_name = self.known.named(name)
        if reason := why_not_a_class(class_name):
            raise VidwatchError(f"label {name!r}: {reason}")
        nearly = None if self.may_be_new else likely_meant(class_name, existing)
        if nearly:
            self.meant[name] = nearly
            raise VidwatchError(did_you_mean(name, nearly))
        existing.add(class_name)
        return class_name


def _read_table(
    path: Path, file: IO[str], classes: TableClasses, connection: Connection
) -> tuple[list[Label], list[str]]:
    """The labels of the right lines, and what is wrong with the others."""
    # In countries with a decimal comma, Excel separates columns by semicolons.
    delimiter = max(",;\t", key=file.readline().count)
    file.seek(0)
    reader = csv.DictReader(file, strict=True, delimiter=delimiter)
    if missing := {"file", "label"} - set(reader.fieldnames or ()):
        names = " and no ".join(sorted(missing))
        raise VidwatchError(f"{path}: no column {names}; its first line names them")
    labels = []
    errors = []
    for row in reader:
        try:
            labels.append(_read_row(row, path.parent, classes, connection))
        except VidwatchError as error:
            errors.append(f"line {reader.line_num}: {error}")
    return labels, errors


def _read_row(
    row: dict[str, str | None], folder: Path, classes: TableClasses, connection: Connection
) -> Label:
    """The label of one line."""
    name = (row["file"] or "").strip()
    class_name = classes.named(row["label"] or "")
    if None in row:
        raise VidwatchError("more columns than the first line names")
    video = _find_video(name, folder, connection)
    if video["state"] == "failed":
        raise VidwatchError(f"{name!r} could not be read, and nothing can be learned from it")
    return Label(video["id"], "labelled", class_name)


def _find_video(word: str, folder: Path, connection: Connection) -> Any:
    """The row of the one video that a word means, as `find` gives it."""
    found = _find_all(word, folder, connection)
    # If the same content came several times, the first video has the prediction.
    contents = {row["content"] for row in found.values()}
    if not contents:
        if os.path.isfile(folder / word):
            hint = "put a new file into labelled/<class>/"
        else:
            hint = question(near_names(word, connection)) or "see 'vidwatch status'"
        raise VidwatchError(f"no video {word!r} in the database; {hint}")
    if len(contents) > 1:
        raise VidwatchError(_ambiguous(word, found))
    return next(iter(found.values()))


def near_names(word: str, connection: Connection) -> list[str]:
    """Names of videos that a person perhaps meant: those that begin so, or are nearly the same.

    Of many videos, only the newest are compared with the word.
    """
    name = display_name(os.fsencode(word.rpartition("/")[2]))
    begin = os.path.splitext(name)[0]
    if _is_number(name) or not begin:
        return []
    if begun := names_begun(begin, connection, NAMED):
        return begun
    newest = select(videos.c.name).order_by(videos.c.id.desc()).limit(COMPARED_NAMES)
    return similar(name, set(connection.scalars(newest)), LIKENESS_OF_FILES)


def names_begun(begin: str, connection: Connection, most: int) -> list[str]:
    """The first names of videos that begin like this, in their order."""
    # Not by LIKE: it would not use the index of names.
    is_begun = and_(videos.c.name >= begin, videos.c.name < begin + LAST_CHARACTER)
    query = select(videos.c.name).where(is_begun).distinct().order_by(videos.c.name).limit(most)
    return list(connection.scalars(query))


def _ambiguous(word: str, found: Mapping[int, Any]) -> str:
    """What to do if a word means videos of several contents."""
    if _is_number(word):
        file = next(video for video in found if video != int(word))
        both = f"video {int(word)}, and a file here, which is video {file}"
        return f"{word!r} means {both}: give ./{word} for the file, and the path of the other one"
    names = [f"{with_source(row['name'], row['source'])} is {id_}" for id_, row in found.items()]
    these = listed(names, NAMED)
    return f"{len(names)} videos are named {word!r}; give the id or the path ({these})"


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdecimal()


def _find_all(word: str, folder: Path, connection: Connection) -> dict[int, Any]:
    """The videos that a word may mean: of a number the id, and a file of that name that is there.

    Any other word is a path, or the name that tables show: with the folder of the inbox.
    """
    path = os.fsencode(os.path.abspath(folder / word))
    if _is_number(word):
        by_id = find(connection, videos.c.id == int(word)) if len(word) <= LONGEST_ID else {}
        here = _find_at(path, connection) if os.path.lexists(path) else {}
        if found := {**by_id, **here}:
            return found
    found = _find_at(path, connection)
    if found:
        return found
    source, _, name = word.rpartition("/")
    is_named = videos.c.name == display_name(os.fsencode(name))
    return find(connection, and_(is_named, videos.c.source == source) if source else is_named)


def _find_at(path: bytes, connection: Connection) -> dict[int, Any]:
    """The videos whose file lies at a path, by whatever links it leads there.

    Other clips may have lain there before: if a file is there now, only its own videos are meant.
    """
    real = os.path.join(os.path.realpath(os.path.dirname(path)), base_name(path))
    rows = {row.id: row for row in rows_at(connection, [path, real], *COMPARED)}
    file = _file_at(real)
    if file is not None:
        columns = (videos.c[name] for name in ("id", "path", *COMPARED))
        same = connection.execute(select(*columns).where(has_numbers(file.identity)))
        # The home's inbox may be a link to the folder that the path names.
        rows |= {row.id: row for row in same if _is_same_place(row.path, real)}
        rows = {id_: row for id_, row in rows.items() if _is_of_today(row, file)}
    return find(connection, videos.c.id.in_(list(rows)))


def _file_at(path: bytes) -> Found | None:
    try:
        identity = identify(path)
    except OSError:
        return None
    return None if identity is None else Found(path, identity)


def _is_of_today(row: Any, file: Found) -> bool:
    """Whether the file at the path of a row is the row's file, or will soon be."""
    return row.state in ("waiting", "queued", "claimed") or is_same(row, file)


def _is_same_place(one: bytes, other: bytes) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False

"""Finds names of classes that are not as a person meant them, probably. Only reads."""

import os
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from sqlalchemy import Connection, func, select

from daemon.database.tables import labels, stands
from daemon.home.texts import printable
from daemon.labels.classes import KnownClasses, labelled_classes
from daemon.labels.renamed_folders import questions
from learner.classes import is_misspelt, is_system_folder, normal_name, why_not_a_class

# A class of so many labels is no slip in typing.
ESTABLISHED = 10


def alike_classes(connection: Connection) -> list[tuple[str, str]]:
    """The pairs of labelled classes that differ in case only, or by a space around them.

    An earlier vidwatch allowed them.
    """
    names = sorted(labelled_classes(connection))
    pairs = []
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            if normal_name(name).casefold() == normal_name(other).casefold():
                pairs.append((name, other))
    return pairs


def misspelt_classes(connection: Connection) -> list[tuple[str, str]]:
    """The labelled classes that may be slips in typing, each with the class that may be meant.

    Only a folder can have brought such a class without a question. The newer one of two classes is
    in question. It is meant if it has many clips, or if a person labelled a clip so in another way.
    """
    by_folder = func.count().filter(labels.c.source.in_(("folder", "moved")))
    n = func.count()
    first = func.min(labels.c.id)
    given = select(labels.c["class"].label("name"), n.label("n"), first.label("first"))
    given = given.add_columns((by_folder == n).label("is_by_folder"))
    given = given.where(labels.c.verdict == "labelled", stands()).group_by(labels.c["class"])
    rows = connection.execute(given.order_by(first)).all()
    pairs = []
    for at, row in enumerate(rows):
        if row.is_by_folder and row.n < ESTABLISHED:
            older = [other for other in rows[:at] if is_misspelt(row.name, other.name)]
            if older:
                likeliest = max(older, key=lambda other: int(other.n))
                pairs.append((row.name, likeliest.name))
    return pairs


def refused_folders(connection: Connection, labelled: Path) -> dict[str, str]:
    """The folders in `labelled/` whose clips are left alone: the reason by the folder's name."""
    known = KnownClasses(connection)
    refused = {}
    for name in _folders_with_files(labelled):
        if reason := why_not_a_class(known.named(name), known.existing):
            refused[name] = reason
    return refused


def odd_names(connection: Connection, root: Path) -> list[str]:
    """What is wrong with the names of classes, and what to do: a line for each.

    Args:
        connection: To the database.
        root: Where the home lies.
    """
    labelled = root / "labelled"
    lines = [
        f"the clips in {labelled / name}/ get no label: {reason}"
        for name, reason in refused_folders(connection, labelled).items()
    ]
    for name, other in alike_classes(connection):
        text = f"classes {name!r} and {other!r} look the same and are two"
        hint = f"'vidwatch classes merge {quote(other)} {quote(name)}' makes them one"
        lines.append(f"{text}: {hint}")
    for name, other in misspelt_classes(connection):
        hint = f"if so: vidwatch classes merge {quote(name)} {quote(other)}"
        lines.append(f"class {name!r} is new: did you mean {other!r}? {hint}")
    for name in sorted(filter(is_system_folder, labelled_classes(connection))):
        hint = f"'vidwatch classes retire {quote(name)}' takes its labels back"
        lines.append(f"class {why_not_a_class(name)}; {hint}")
    return [printable(line) for line in [*lines, *questions(connection, root)]]


def _folders_with_files(labelled: Path) -> Iterator[str]:
    try:
        folders = sorted(path for path in labelled.iterdir() if not _is_left_alone(path.name))
    except OSError:  # that it is away is shown elsewhere
        return
    for folder in folders:
        if folder.is_dir() and any(names for _, _, names in os.walk(folder)):
            yield folder.name


def _is_left_alone(name: str) -> bool:
    return name.startswith(".") or is_system_folder(name)

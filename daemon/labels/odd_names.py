"""Finds names of classes that are not as a person meant them, probably. Only reads."""

import itertools
from collections.abc import Collection, Iterator
from pathlib import Path
from shlex import quote

from sqlalchemy import Connection, func, select

from daemon.database.expressions import stands
from daemon.database.tables import labels
from daemon.home.texts import printable
from daemon.labels.classes import KnownClasses, labelled_classes
from daemon.labels.renamed_folders import questions
from learner.classes import is_misspelt, is_no_class, is_system_folder, normal_name, why_not_a_class
from learner.folders import walk

# A class of so many labels is no slip in typing.
ESTABLISHED = 10


def odd_names(connection: Connection, root: Path) -> list[str]:
    """What is wrong with the names of classes, and what to do: a line for each.

    Args:
        connection: To the database.
        root: Where the home lies.
    """
    labelled = root / "labelled"
    used = labelled_classes(connection)
    lines = [
        f"the clips in {labelled / name}/ get no label: {reason}"
        for name, reason in refused_folders(connection, labelled, used).items()
    ]
    for name, other in alike_classes(used):
        hint = f"'vidwatch classes merge {quote(other)} {quote(name)}' makes them one"
        lines.append(f"classes {name!r} and {other!r} look the same and are two: {hint}")
    for name, other in misspelt_classes(connection, used):
        hint = f"if so: vidwatch classes merge {quote(name)} {quote(other)}"
        lines.append(f"class {name!r} is new: did you mean {other!r}? {hint}")
    for name in sorted(filter(is_system_folder, used)):
        hint = f"'vidwatch classes retire {quote(name)}' takes its labels back"
        lines.append(f"class {why_not_a_class(name)}; {hint}")
    return [printable(line) for line in [*lines, *questions(connection, root)]]


def refused_folders(
    connection: Connection, labelled: Path, used: Collection[str]
) -> dict[str, str]:
    """The folders in `labelled/` whose clips are left alone: the reason by the folder's name.

    `used` are the classes that have labels.
    """
    known = KnownClasses(connection, used)
    refused = {}
    for name in _folders_with_files(labelled):
        if reason := why_not_a_class(known.named(name), known.existing, is_folder=True):
            refused[name] = reason
    return refused


def alike_classes(used: Collection[str]) -> list[tuple[str, str]]:
    """The pairs of these classes that differ in case only, or by a space around them.

    An earlier vidwatch allowed them.
    """
    pairs = itertools.combinations(sorted(used), 2)
    return [pair for pair in pairs if len({normal_name(name).casefold() for name in pair}) == 1]


def misspelt_classes(connection: Connection, used: Collection[str]) -> list[tuple[str, str]]:
    """The labelled classes that may be slips in typing, each with the class that may be meant.

    Only a folder can have brought such a class without a question. The newer one of two classes is
    in question. It is meant if it has many clips, or if a person labelled a clip so in another way.
    """
    alike = {pair for pair in itertools.permutations(used, 2) if is_misspelt(*pair)}
    if not alike:
        return []
    by_folder = func.count().filter(labels.c.source.in_(("folder", "moved")))
    n = func.count()
    first = func.min(labels.c.id)
    given = select(labels.c["class"].label("name"), n.label("n"), first.label("first"))
    given = given.add_columns((by_folder == n).label("is_by_folder"))
    these = labels.c["class"].in_({name for name, _ in alike})
    given = given.where(labels.c.verdict == "labelled", stands(), these)
    rows = connection.execute(given.group_by(labels.c["class"]).order_by(first)).all()
    pairs = []
    for at, row in enumerate(rows):
        if row.is_by_folder and row.n < ESTABLISHED:
            older = [other for other in rows[:at] if (row.name, other.name) in alike]
            if older:
                likeliest = max(older, key=lambda other: int(other.n))
                pairs.append((row.name, likeliest.name))
    return pairs


def _folders_with_files(labelled: Path) -> Iterator[str]:
    try:
        folders = sorted(path for path in labelled.iterdir() if not is_no_class(path.name))
    except OSError:  # that it is away is shown elsewhere
        return
    for folder in folders:
        if folder.is_dir() and any(names for _, _, names in walk(folder)):
            yield folder.name

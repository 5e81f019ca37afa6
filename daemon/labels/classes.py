"""Which classes people use, and which names they may give. Only reads.

The starter's ten classes are a beginning. Once people have labelled classes of their own, and none
of the starter's, its names are offered nowhere any more.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from sqlalchemy import Connection, func, select

from daemon.database.tables import labels, models, stands
from daemon.home.texts import printable
from learner.catalogue import starter_classes
from learner.classes import same_but_for_case, why_not_a_class
from learner.errors import VidwatchError
from learner.folders import walk


def labelled_classes(connection: Connection) -> set[str]:
    """The classes of all labels that nobody has taken back."""
    given = select(labels.c["class"]).where(labels.c.verdict == "labelled", stands()).distinct()
    return set(connection.scalars(given))


def starter_is_outgrown(connection: Connection) -> bool:
    """Whether people have labelled classes of their own, and none of the starter's."""
    labelled = labelled_classes(connection)
    return bool(labelled) and labelled.isdisjoint(starter_classes())


def offered_classes(connection: Connection) -> list[str]:
    """The classes that people are offered: of all labels and models, in alphabetical order.

    Of two names that differ in case only, the one that people have labelled is offered.
    """
    names = labelled_classes(connection)
    unwanted = starter_classes() if names and names.isdisjoint(starter_classes()) else frozenset()
    labelled = frozenset(names)
    for classes in connection.scalars(select(models.c.classes)):
        known = set(classes) - unwanted
        names |= {name for name in known if not same_but_for_case(name, labelled)}
    return sorted(names, key=str.casefold)


def commonest_classes(connection: Connection, most: int) -> list[str]:
    """The classes of the most labels that nobody has taken back, the commonest first."""
    n = func.count().label("n")
    given = select(labels.c["class"]).where(labels.c.verdict == "labelled", stands())
    counted = given.group_by(labels.c["class"]).order_by(n.desc(), labels.c["class"])
    return list(connection.scalars(counted.limit(most)))


def require_class_names(connection: Connection, names: Collection[str]) -> None:
    """Check the classes that a person gives.

    Raises:
        VidwatchError: a name can be no class, or differs from another class in case only; names
            each.
    """
    existing = set(offered_classes(connection))
    wrong = []
    for name in sorted(names):
        if reason := why_not_a_class(name, existing):
            wrong.append(f"class {name!r}: {reason}")
        existing.add(name)
    if wrong:
        raise VidwatchError("; ".join(wrong))


def alike_classes(connection: Connection) -> list[tuple[str, str]]:
    """The pairs of labelled classes that differ in case only, or by a space around them.

    An earlier vidwatch allowed them.
    """
    names = sorted(labelled_classes(connection))
    pairs = []
    for position, name in enumerate(names):
        for other in names[position + 1 :]:
            if name.strip() == other.strip() or same_but_for_case(name.strip(), [other.strip()]):
                pairs.append((name, other))
    return pairs


def refused_folders(connection: Connection, labelled: Path) -> dict[str, str]:
    """The folders in `labelled/` whose clips are left alone: the reason by the folder's name."""
    existing = set(offered_classes(connection))
    refused = {}
    for name in _folders_with_files(labelled):
        if reason := why_not_a_class(name, existing):
            refused[name] = reason
    return refused


def odd_names(connection: Connection, labelled: Path) -> list[str]:
    """What is wrong with the names of classes, for people: a line for each.

    Args:
        connection: To the database.
        labelled: The folder of the class folders.
    """
    lines = [
        f"the clips in {labelled / name}/ get no label: {reason}"
        for name, reason in refused_folders(connection, labelled).items()
    ]
    for name, other in alike_classes(connection):
        text = f"classes {name!r} and {other!r} look the same and are two"
        lines.append(f"{text}: move the clips of one from labelled/ to the folder of the other")
    return [printable(line) for line in lines]


def _folders_with_files(labelled: Path) -> Iterator[str]:
    try:
        folders = sorted(path for path in labelled.iterdir() if not path.name.startswith("."))
    except OSError:  # that it is away is shown elsewhere
        return
    for folder in folders:
        if folder.is_dir() and any(names for _, _, names in walk(folder)):
            yield folder.name

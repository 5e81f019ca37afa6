"""Which classes people use, and which names they may give. Only reads.

The starter's ten classes are a beginning. Once people have labelled classes of their own, and none
of the starter's, its names are offered nowhere any more.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, func, select

from daemon.database.tables import labels, models, stands
from daemon.home.texts import printable
from learner.catalogue import starter_classes
from learner.classes import (
    class_named,
    is_misspelt,
    is_system_folder,
    likely_meant,
    normal_name,
    same_but_for_case,
    why_not_a_class,
)
from learner.errors import VidwatchError

# A class of so many labels is no slip in typing.
ESTABLISHED = 10


class DidYouMeanError(VidwatchError):
    """A person gave new names that are nearly those of classes that there are."""

    def __init__(self, text: str, meant: Mapping[str, str]) -> None:
        super().__init__(text)
        self.meant = meant
        """The class that was probably meant, by the name that was given."""


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
    return sorted((name for name in names if not is_system_folder(name)), key=str.casefold)


def commonest_classes(connection: Connection, most: int) -> list[str]:
    """The classes of the most labels that nobody has taken back, the commonest first."""
    n = func.count().label("n")
    given = select(labels.c["class"]).where(labels.c.verdict == "labelled", stands())
    counted = given.group_by(labels.c["class"]).order_by(n.desc(), labels.c["class"])
    return list(connection.scalars(counted.limit(most)))


def require_class_names(
    connection: Connection, names: Collection[str], *, may_be_new: bool = False
) -> dict[str, str]:
    """The classes that a person means by names, by these names.

    Args:
        connection: To the database.
        names: What the person gave.
        may_be_new: Whether the person has said that a name that is nearly another one is new.

    Raises:
        VidwatchError: a name can be no class; names each.
        DidYouMeanError: a name is new, and nearly the name of another class; names each.
    """
    existing = set(offered_classes(connection))
    meant = {}
    classes = {}
    wrong = []
    for name in sorted(names):
        class_name = class_named(name, existing)
        if reason := why_not_a_class(class_name):
            wrong.append(f"class {name!r}: {reason}")
        elif not may_be_new and (nearly := likely_meant(class_name, existing)):
            meant[name] = nearly
        existing.add(class_name)
        classes[name] = class_name
    if wrong:
        raise VidwatchError("; ".join(wrong))
    if meant:
        raise DidYouMeanError("; ".join(did_you_mean(*pair) for pair in meant.items()), meant)
    return classes


def did_you_mean(name: str, nearly: str) -> str:
    """The question whether another class was meant."""
    return f"there is no class {name!r}: did you mean {nearly!r}?"


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
    existing = set(offered_classes(connection))
    refused = {}
    for name in _folders_with_files(labelled):
        if reason := why_not_a_class(class_named(name, existing), existing):
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
    for name, other in misspelt_classes(connection):
        hint = f"if so, move its clips to labelled/{other}/"
        lines.append(f"class {name!r} is new: did you mean {other!r}? {hint}")
    for name in sorted(filter(is_system_folder, labelled_classes(connection))):
        lines.append(f"class {name!r}: {why_not_a_class(name)}; take its labels back")
    return [printable(line) for line in lines]


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

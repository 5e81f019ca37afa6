"""Which classes people use, and which names they may give. Only reads.

The starter's ten classes are a beginning. Once people have labelled classes of their own, and none
of the starter's, its names are offered nowhere any more.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, func, select

from daemon.database.expressions import part_stands, stands
from daemon.database.tables import class_names, labels, models, part_labels
from learner.catalogue import starter_classes
from learner.classes import (
    class_named,
    is_system_folder,
    likely_meant,
    same_but_for_case,
    why_not_a_class,
)
from learner.errors import VidwatchError


class DidYouMeanError(VidwatchError):
    """A person gave new names that are nearly those of classes that there are."""

    def __init__(self, text: str, meant: Mapping[str, str]) -> None:
        super().__init__(text)
        self.meant = meant
        """The class that was probably meant, by the name that was given."""


def labelled_classes(connection: Connection) -> set[str]:
    """The classes of all labels that nobody has taken back, of videos and of their parts."""
    of_parts = select(part_labels.c["class"]).where(part_stands()).distinct()
    return {*classes_of_videos(connection), *connection.scalars(of_parts)}


def classes_of_videos(connection: Connection) -> list[str]:
    """The classes of all labels of whole videos that nobody has taken back, in their order.

    From one class to the next one in the index: else all labels would be read.
    """
    of_class = labels.c["class"]
    standing = select(of_class).where(of_class.is_not(None), stands()).order_by(of_class).limit(1)
    found = select(standing.scalar_subquery().label("name")).cte("found", recursive=True)
    beyond = standing.where(of_class > found.c.name).scalar_subquery()
    found = found.union_all(select(beyond).where(found.c.name.is_not(None)))
    return list(connection.scalars(select(found.c.name).where(found.c.name.is_not(None))))


def starter_is_outgrown(connection: Connection) -> bool:
    """Whether people have labelled classes of their own, and none of the starter's."""
    labelled = labelled_classes(connection)
    return bool(labelled) and labelled.isdisjoint(starter_classes())


def offered_classes(connection: Connection, used: Collection[str] | None = None) -> list[str]:
    """The classes that people are offered: of all labels and models, in alphabetical order.

    Of two names that differ in case only, the one that people have labelled is offered.

    Args:
        connection: To the database.
        used: What `labelled_classes` gives, if that is known: it takes a second for a million.
    """
    names = set(labelled_classes(connection) if used is None else used)
    unwanted = starter_classes() if names and names.isdisjoint(starter_classes()) else frozenset()
    labelled = frozenset(names)
    changed = changed_names(connection)
    for classes in connection.scalars(select(models.c.classes)):
        by_models = (changed.get(name, name) for name in classes if name not in unwanted)
        known = {name for name in by_models if name is not None}
        names |= {name for name in known if not same_but_for_case(name, labelled)}
    return sorted((name for name in names if not is_system_folder(name)), key=str.casefold)


def changed_names(connection: Connection) -> dict[str, str | None]:
    """The new names of the classes that were renamed, by the old ones; None if it was retired."""
    return {row.old: row.new for row in connection.execute(select(class_names))}


class KnownClasses:
    """The classes that there are, and which one a name means."""

    def __init__(self, connection: Connection, used: Collection[str] | None = None) -> None:
        """Read them; `used` is as for `offered_classes`."""
        self.existing = set(offered_classes(connection, used))
        changed = changed_names(connection).items()
        self._new_names = {old: new for old, new in changed if new is not None}

    def named(self, name: str) -> str:
        """The class that a name means: also by the name that the class had before."""
        class_name = class_named(name, self.existing)
        if class_name in self.existing:
            return class_name
        before = class_named(name, self._new_names)
        return self._new_names.get(before, class_name)


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
    known = KnownClasses(connection)
    existing = known.existing
    meant = {}
    classes = {}
    wrong = []
    for name in sorted(names):
        class_name = known.named(name)
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

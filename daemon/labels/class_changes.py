"""Renames, merges and retires classes. Their labels follow, each by rows of its own.

Models are not changed: what an older model predicts counts by the class's new name, and is shown
as it was.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, insert, select, update

from daemon.database.expressions import lies_below, stands
from daemon.database.tables import PREDICTED, class_names, labels, models, renamed_folders, videos
from daemon.home.folders import Folders
from daemon.home.similar import question, similar
from daemon.labels.class_descriptions import follow_class
from daemon.labels.classes import changed_names, labelled_classes, offered_classes
from daemon.labels.labels import Label, move_to
from daemon.labels.parts import give_again, labels_of_parts
from daemon.labels.queries import find, newest
from learner.classes import class_named, why_not_a_class
from learner.errors import VidwatchError

AT_ONCE = 500  # videos that one query finds


@dataclass(frozen=True)
class KnownClass:
    """A class as `vidwatch classes` shows it."""

    name: str
    labels: int
    """How many clips, and parts of long videos, have it as their newest label."""
    models: tuple[str, ...]
    """The models that know it, also by a former name."""
    former: tuple[str, ...]
    """The names that it had before."""
    is_retired: bool
    """Whether it was retired, and nobody has labelled it since."""


class ClassChanges:
    """Changes of the classes of a home. Each is one transaction; the daemon moves the files."""

    def __init__(self, engine: Engine, folders: Folders, who: str) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._folders = folders
        self._who = who

    def rename(self, old: str, new: str, now: datetime) -> tuple[str, int]:
        """Give a class a name that no other class has.

        Returns its name in the form that it has now, and how many labels have it. Those of parts
        count.

        Raises:
            VidwatchError: there is no class `old`, or `new` is another class, or can be none.
        """
        with self._writer.begin() as connection:
            existing = offered_classes(connection)
            name = class_named(new, set(existing) - {old})
            if name in existing and name != old:
                hint = f"to make them one: vidwatch classes merge {old!r} {name!r}"
                raise VidwatchError(f"there is a class {name!r}; {hint}")
            n = self._change(connection, old, name, now)
            follow_class(connection, old, name, is_merged=False)
            return name, n

    def merge(self, old: str, into: str, now: datetime) -> int:
        """Make a class part of another one. Returns how many labels had it, also of parts.

        Raises:
            VidwatchError: one of them is no class.
        """
        with self._writer.begin() as connection:
            _require(connection, into)
            n = self._change(connection, old, into, now)
            follow_class(connection, old, into, is_merged=True)
            return n

    def retire(self, name: str, now: datetime) -> int:
        """Take all labels of a class back: it is offered no more, and the next model drops it.

        Returns how many labels had it, those of parts included.

        Raises:
            VidwatchError: there is no such class.
        """
        with self._writer.begin() as connection:
            return self._change(connection, name, None, now)

    def _change(self, connection: Connection, old: str, new: str | None, now: datetime) -> int:
        _require(connection, old)
        if old == new:
            raise VidwatchError(f"class {old!r} has this name already")
        if new is not None and (reason := why_not_a_class(new)):
            raise VidwatchError(f"class {new!r}: {reason}")
        n = len(labels_of_parts(connection, class_name=old))
        n += self._change_labels(connection, old, new, now)
        give_again(connection, old, new, self._who, now)
        self._note(connection, old, new, now)
        if new is not None:
            self._move_classified(connection, old, new)
        self._move_copies(connection, old, new)
        answered = renamed_folders.c.old == old
        connection.execute(delete(renamed_folders).where(answered))
        return n

    def _change_labels(
        self, connection: Connection, old: str, new: str | None, now: datetime
    ) -> int:
        """Take the labels of contents back that have the class, and give them again with the new.

        All of a content's labels, since their order says which one counts. A label keeps who gave
        it, how and when: by that it judges models, or does not.
        """
        has_it = select(labels.c.video_id).where(labels.c["class"] == old, stands()).distinct()
        contents = connection.scalars(has_it.order_by(labels.c.video_id)).all()
        counts = newest().where(labels.c["class"] == old).subquery()
        n = connection.scalar(select(func.count()).select_from(counts)) or 0
        for first in range(0, len(contents), AT_ONCE):
            some = contents[first : first + AT_ONCE]
            rows = find(connection, videos.c.id.in_(some))
            given = _labels_of(connection, some)
            for content in some:
                last = self._give_again(connection, given[content], old, new, now)
                if rows[content]["state"] != "failed":
                    move_to(connection, self._folders, rows[content], last)
        return n

    def _give_again(
        self, connection: Connection, given: Sequence[Any], old: str, new: str | None, now: datetime
    ) -> Label:
        """Gives the label of the content that counts then."""
        content = given[0]["video_id"]
        for row in given:
            withdrawal = {"video_id": content, "verdict": "withdrawn", "takes_back": row["id"]}
            withdrawal |= {"source": "command", "who": self._who, "created_at": now}
            connection.execute(insert(labels).values(**withdrawal))
        last = Label(content, "withdrawn")
        for row in given:
            name = new if row["class"] == old else row["class"]
            if row["class"] is not None and name is None:
                continue
            again = {key: value for key, value in row.items() if key != "id"} | {"class": name}
            connection.execute(insert(labels).values(**again))
            last = Label(content, row["verdict"], name)
        return last

    def _note(self, connection: Connection, old: str, new: str | None, now: datetime) -> None:
        """From now on, predictions and folders of the old name mean the new one."""
        columns = {"new": new, "who": self._who, "changed_at": now}
        connection.execute(delete(class_names).where(class_names.c.old.in_((old, new))))
        connection.execute(update(class_names).where(class_names.c.new == old).values(**columns))
        connection.execute(insert(class_names).values(old=old, **columns))

    def _move_classified(self, connection: Connection, old: str, new: str) -> None:
        """Have the files without a label moved that lie in the class folder of the old name.

        Those that are still to be moved there go to the folder of the new name, too.
        """
        folder = b"/".join((self._folders.root, b"classified", old.encode()))
        lies_there = and_(lies_below(videos.c.path, folder), videos.c.destination.is_(None))
        belongs_there = and_(
            lies_below(videos.c.destination, folder), videos.c.state.in_(PREDICTED)
        )
        columns = (videos.c.id, videos.c.path, videos.c.moving_to)
        for condition in (lies_there, belongs_there):
            for row in connection.execute(select(*columns).where(condition)).all():
                at = row.moving_to or row.path
                target = self._folders.resting_place(at, predicted=new, unsure=False)
                this = update(videos).where(videos.c.id == row.id)
                connection.execute(this.values(destination=target or row.moving_to))

    def _move_copies(self, connection: Connection, old: str, new: str | None) -> None:
        """Have the copies of labelled clips moved that lie in the folder of the old name, too.

        Those of a retired class go to `duplicates/`: in `labelled/`, a database that does not know
        them would take them for labels.
        """
        below = lies_below(videos.c.path, self._folders.labelled() + b"/" + os.fsencode(old))
        is_copy = and_(videos.c.duplicate_of.is_not(None), videos.c.state.in_(PREDICTED))
        is_at_rest = videos.c.destination.is_(None)
        found = connection.execute(
            select(videos.c.id, videos.c.path).where(below, is_copy, is_at_rest)
        )
        for row in found.all():
            target = self._folders.resting_place(
                row.path, predicted=old, unsure=False, label=new, is_duplicate=True
            )
            this = update(videos).where(videos.c.id == row.id)
            connection.execute(this.values(destination=target))


def known_classes(connection: Connection) -> list[KnownClass]:
    """All classes that are labelled or known to a model, and those that were retired."""
    changed = changed_names(connection)
    counts = newest().where(labels.c.verdict == "labelled").subquery()
    query = select(counts.c["class"], func.count()).group_by(counts.c["class"])
    n_labels = Counter({row[0]: row[1] for row in connection.execute(query)})
    n_labels.update(one.class_name for one in labels_of_parts(connection))
    of_models: dict[str, list[str]] = defaultdict(list)
    newest_first = select(models.c.name, models.c.classes).order_by(models.c.used_at.desc())
    for model, names in connection.execute(newest_first):
        for name in {changed.get(name) or name for name in names}:
            of_models[name].append(model)
    offered = offered_classes(connection)
    retired = [name for name, new in changed.items() if new is None and name not in offered]
    former: dict[str, list[str]] = defaultdict(list)
    for name, new in sorted(changed.items()):
        if new is not None:
            former[new].append(name)
    return [
        KnownClass(
            name=name,
            labels=n_labels[name],
            models=tuple(dict.fromkeys(of_models[name])),
            former=tuple(former[name]),
            is_retired=name in retired,
        )
        for name in [*offered, *sorted(retired)]
    ]


def _require(connection: Connection, name: str) -> None:
    """Check that a class is labelled, or that a model knows it, also if it is offered no more."""
    offered = offered_classes(connection)
    if name in offered or name in labelled_classes(connection):
        return
    if not any(name in classes for classes in connection.scalars(select(models.c.classes))):
        hint = f"{question(similar(name, offered))} 'vidwatch classes' lists them".strip()
        raise VidwatchError(f"there is no class {name!r}; {hint}")


def _labels_of(connection: Connection, contents: Sequence[int]) -> dict[int, list[Any]]:
    """The labels of contents that nobody has taken back, the newest last."""
    query = select(*(one for one in labels.c if one is not labels.c.takes_back))
    query = query.where(labels.c.video_id.in_(contents), stands()).order_by(labels.c.id)
    found: dict[int, list[Any]] = defaultdict(list)
    for row in connection.execute(query).mappings():
        found[row["video_id"]].append(dict(row))
    return found

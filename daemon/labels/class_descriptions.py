"""What people write of a class, so that others know what it is.

A text follows its class when that is renamed or merged. That of a retired class is kept: the class
may come back.
"""

from datetime import datetime

from sqlalchemy import Connection, Delete, Engine, delete, insert, select, update

from daemon.database.tables import class_descriptions
from daemon.labels.classes import offered_classes
from learner.errors import VidwatchError

LONGEST = 300  # characters


def descriptions(connection: Connection) -> dict[str, str]:
    """The texts, by the names of the classes."""
    table = class_descriptions
    return {row[0]: row[1] for row in connection.execute(select(table.c["class"], table.c.text))}


def describe(engine: Engine, name: str, text: str, who: str, now: datetime) -> None:
    """Write what a class is, in the place of what was written before; an empty text removes that.

    Raises:
        VidwatchError: there is no such class, or the text is too long or cannot be shown.
    """
    text = " ".join(text.split())
    if len(text) > LONGEST:
        reason = f"a description has {LONGEST} characters at most; this one has {len(text)}"
        raise VidwatchError(f"class {name!r}: {reason}")
    if not text.isprintable():
        raise VidwatchError(f"class {name!r}: its description has characters that cannot be shown")
    with engine.execution_options(writes=True).begin() as connection:
        if name not in offered_classes(connection):
            raise VidwatchError(f"there is no class {name!r}; 'vidwatch classes' lists them")
        connection.execute(_delete(name))
        if text:
            columns = {"class": name, "text": text, "who": who, "created_at": now}
            connection.execute(insert(class_descriptions).values(**columns))


def follow_class(connection: Connection, old: str, new: str, *, is_merged: bool) -> None:
    """Let the text of a class follow it.

    Args:
        connection: In a transaction that writes.
        old: The former name of the class.
        new: Its name now.
        is_merged: Whether it is part of a class that was there before, whose own text counts more.
    """
    if old == new:
        return
    has_own = new in descriptions(connection)
    if is_merged and has_own:
        connection.execute(_delete(old))
        return
    connection.execute(_delete(new))  # what a retired class of that name had
    its = class_descriptions.c["class"] == old
    connection.execute(update(class_descriptions).where(its).values({"class": new}))


def _delete(name: str) -> Delete:
    return delete(class_descriptions).where(class_descriptions.c["class"] == name)

"""Which names in settings are no classes, and what was probably meant. Only reads."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from daemon.database.tables import models
from daemon.home.folders import UNSURE_NAME
from daemon.home.settings import Settings
from daemon.home.texts import printable
from daemon.labels.classes import changed_names, did_you_mean, labelled_classes
from learner.classes import EMPTY, likely_meant


def named_classes(settings: Settings) -> dict[str, list[str]]:
    """The classes that settings name, by what names them; `thresholds` are of one model."""
    of_rules = [name for rule in settings.remove for name in rule.classes]
    of_receivers = {
        f"classes of {name}": list(each.classes) for name, each in settings.receivers.items()
    }
    return {"remove": of_rules, **of_receivers}


def unknown_classes(connection: Connection, names: Collection[str]) -> list[str]:
    """What is wrong with those of these names that no model and no label has, a sentence each.

    Nothing is wrong as long as no model is known: a daemon that starts notes its model.
    """
    of_models = {name for own in connection.scalars(select(models.c.classes)) for name in own}
    if not of_models or not names:
        return []
    changed = changed_names(connection)
    known = {changed.get(name, name) for name in of_models} | labelled_classes(connection)
    classes = {name for name in known if name is not None} | {UNSURE_NAME, EMPTY}
    return [_wrong(name, classes, changed) for name in sorted(set(names) - classes)]


def _wrong(name: str, classes: Collection[str], changed: dict[str, str | None]) -> str:
    shown = printable(name)
    if name in changed:
        new = changed[name]
        return f"the class {shown!r} was retired" if new is None else _renamed(shown, new)
    if nearly := likely_meant(name, classes):
        return did_you_mean(shown, printable(nearly))
    return f"no model and no label has a class {shown!r}: is it misspelt?"


def _renamed(name: str, new: str) -> str:
    return f"the class {name!r} is named {printable(new)!r} now"

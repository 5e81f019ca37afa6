"""Checks the models in use and the backups: whether they can be used."""

from collections.abc import Iterator

from sqlalchemy import Engine

from daemon.database.connection import explaining
from daemon.database.integrity import damage
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.maintenance.backup import backups_in
from daemon.maintenance.finding import Finding
from daemon.training.decisions import Decisions
from learner.catalogue import find_models
from learner.errors import VidwatchError


def check_models(home: Home, engine: Engine, *, quick: bool) -> Iterator[Finding]:
    """The models that cannot be used, and settings that cannot be read.

    Args:
        home: The home.
        engine: Its database.
        quick: Whether to read no weights.
    """
    in_use = set[str]()
    try:
        in_use.add(settings.load(home.settings).model)
    except VidwatchError as error:
        yield Finding("settings", str(home.settings), str(error))
    decisions = Decisions(engine)
    if champion := decisions.champion():
        in_use.add(champion)
    if shadow := decisions.shadow():
        in_use.add(shadow)
    if not quick:
        from learner import checkpoint

        for name in sorted(in_use):
            try:
                checkpoint.load(home.model_or_starter(name))
            except VidwatchError as error:
                yield Finding("model", name, f"cannot be used: {error}")
    for entry in find_models(home.models):
        if entry.problem and (quick or entry.name not in in_use):
            yield Finding("model", entry.name, f"cannot be used: {entry.problem}")


def check_backups(home: Home) -> Iterator[Finding]:
    """The backups that are damaged."""
    for path in backups_in(home.backups, now()):
        try:
            with explaining(path):
                problems = damage(path)
        except VidwatchError as error:  # the program that reads it is not installed
            yield Finding("backup", str(path), f"cannot be checked: {error}", harmless=True)
            continue
        if problems:
            yield Finding("backup", str(path), f"is damaged ({problems[0]}); remove it")

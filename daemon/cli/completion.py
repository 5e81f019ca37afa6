"""What a shell completes: names of classes, models and videos; nothing if something is wrong.

Only homes with their database in a file are asked: a server may be away, and a person waits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from daemon.home.folder import Home
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from sqlalchemy import Connection

MOST = 50  # names of videos that are offered


def classes(context: typer.Context, incomplete: str) -> list[str]:
    """The classes of labels and models that begin like this."""
    return _begun(_asked(context, _classes), incomplete)


def models(context: typer.Context, incomplete: str) -> list[str]:
    """The models that begin like this."""
    from daemon.home.models import names_of_models

    return _begun(names_of_models(_home(context)), incomplete)


def videos(context: typer.Context, incomplete: str) -> list[str]:
    """The names of videos that begin like this; none as long as nothing is given."""
    if not incomplete:
        return []
    return _asked(context, lambda connection: _videos(connection, incomplete))


def videos_or_classes(context: typer.Context, incomplete: str) -> list[str]:
    """Both: the last word of `label` is a class."""
    return [*videos(context, incomplete), *classes(context, incomplete)]


def _classes(connection: "Connection") -> list[str]:
    from daemon.labels.classes import offered_classes

    return offered_classes(connection)


def _videos(connection: "Connection", incomplete: str) -> list[str]:
    from daemon.labels.lookup import names_begun

    return names_begun(incomplete, connection, MOST)


def _asked(context: typer.Context, ask: "Callable[[Connection], list[str]]") -> list[str]:
    """What the home's database says; nothing if it cannot be asked now."""
    from sqlalchemy.exc import DatabaseError

    from daemon.database.connection import opened

    try:
        home = _home(context)
        if not isinstance(home.database, Path) or not home.has_database():
            return []
        quickly = opened(home.database, read_only=True, patience=0.5)
        with quickly as engine, engine.begin() as connection:
            return ask(connection)
    except (VidwatchError, DatabaseError, OSError):
        return []


def _home(context: typer.Context) -> Home:
    return Home.at(context.find_root().params["home"])


def _begun(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]

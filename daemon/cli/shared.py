"""What several commands share: options, the database, models, the cache.

Slow imports stand in the functions that need them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.home.folder import Home
from daemon.home.texts import printable

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.evaluate import Score

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Pattern = Annotated[
    str,
    typer.Option(
        "--group-pattern", help="A regular expression that finds a clip's group in its file name."
    ),
]
Model = Annotated[
    str, typer.Option("--model", help='"starter", the name of a model in models/, or its path.')
]


class DeviceKind(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Device = Annotated[
    DeviceKind | None,
    typer.Option("--device", help="Where the model runs, instead of the setting 'device'."),
]


@contextmanager
def database(home: Home) -> "Iterator[Engine]":
    """The home's database, upgraded first if an older program wrote it and no daemon runs."""
    from daemon.database.connection import explaining, opened
    from daemon.database.upgrade import upgrade

    home.require()
    if not home.running():
        with explaining(home.database):
            upgrade(home.database)
    with opened(home.database) as engine:
        yield engine


def load_model(home: Home, name: str, device: str | None = None) -> "Classifier":
    """Load "starter", a model of the home, or the model at a path.

    Raises:
        VidwatchError: it cannot be loaded.
    """
    from daemon.home import settings
    from learner.classifier import Classifier

    loaded = settings.load(home.settings)
    return Classifier.load(home.model_or_starter(name), device or loaded.device, loaded.reading)


def described(score: "Score") -> str:
    """An accuracy with its interval."""
    low, high = score.interval
    return f"{score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, {score.n} clips)"


def print_skipped(skipped: dict[str, str]) -> None:
    """Print the files that could not be read, and why."""
    for name, reason in skipped.items():
        print(f"skipped {printable(name)}: {reason}", file=sys.stderr)


def open_cache(home: Home) -> "Cache":
    """The cache, with the limit that the home's settings give it."""
    from daemon.home import settings
    from daemon.home.space import GIGABYTE
    from learner.cache import Cache

    return Cache(round(settings.load(home.settings).cache_gigabytes * GIGABYTE))

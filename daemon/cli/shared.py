"""What several commands share: options, the database, models, the cache.

Slow imports stand in the functions that need them.
"""

import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli import completion
from daemon.cli.ending import console as console
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.errors import VidwatchError
from learner.texts import counted, listed

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.home.settings import Settings
    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.dataset import Fill
    from learner.evaluate import Score
    from learner.recipe import Recipe

NAMED = 5  # videos that a line names

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
JsonResult = Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")]
Pattern = Annotated[
    str,
    typer.Option(
        "--group-pattern", help="A regular expression that finds a clip's group in its file name."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        autocompletion=completion.models,
        help='"starter", the name of a model in models/, or its path; the champion if not given.',
    ),
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


class EngineKind(StrEnum):
    """What decodes and computes."""

    local = "local"
    ray = "ray"


RunsOn = Annotated[
    EngineKind,
    typer.Option(
        "--engine", help="This machine alone, or Ray: the cluster that RAY_ADDRESS names."
    ),
]


@contextmanager
def database(home: Home) -> "Iterator[Engine]":
    """The home's database.

    If no daemon runs, it is first brought up to date, and its paths follow a home that was moved.
    """
    from daemon.database.connection import explaining, opened
    from daemon.database.root import follow_home
    from daemon.database.upgrade import upgrade

    home.require()
    runs = is_running(home)
    if not runs:
        with explaining(home.database):
            upgrade(home.database, working)
    with opened(home.database) as engine:
        if not runs:
            follow_home(engine, home.root)
        yield engine


def working(what: str) -> AbstractContextManager[None]:
    """Show what is being done, while it is."""
    from daemon.cli import progress

    return progress.working(what)


def is_running(home: Home) -> bool:
    """Whether a daemon works on the home, on this machine or on another one."""
    if home.running() is not None:
        return True
    from daemon.database.daemons import running_elsewhere

    return bool(running_elsewhere(home))


def without_file_in_words(names: Sequence[str]) -> list[str]:
    """A line that says which labelled videos have no file any more; none if all have theirs."""
    if not names:
        return []
    why = "deleted from the trash before, so no file is moved; the labels count"
    return [f"{why}: {listed(names, NAMED)}"]


def load_model(home: Home, name: str | None, device: str | None = None) -> "Classifier":
    """Load "starter", a model of the home, or the model at a path; the home's model if None.

    Raises:
        VidwatchError: it cannot be loaded.
    """
    from daemon.home import settings
    from daemon.home.models import require_model
    from learner.classifier import Classifier

    loaded = settings.load(home.settings)
    path = require_model(home, name) if name else home.model_or_starter(model_of(home))
    return Classifier.load(path, device or loaded.device, loaded.reading)


def model_of(home: Home) -> str:
    """The model that a home uses: its champion, or the setting `model` if that was changed.

    The starter if there is no home.

    Raises:
        VidwatchError: the settings or the database cannot be read.
    """
    from sqlalchemy.exc import OperationalError

    from daemon.database.connection import is_outdated, opened
    from daemon.home import settings
    from daemon.training.decisions import Decisions

    if not home.settings.is_file():
        return "starter"
    loaded = settings.load(home.settings)
    setting = loaded.model
    if not home.has_database():
        return setting
    with opened(home.database, read_only=True) as engine:
        decisions = Decisions(engine)
        try:
            # A daemon reads the setting when it starts. One that is not given changes nothing.
            is_given = "model" in loaded.model_fields_set
            if is_given and not is_running(home) and decisions.is_new_setting(setting):
                return setting
            return decisions.champion() or setting
        except OperationalError as error:
            if is_outdated(error):  # no daemon of this version has run here yet
                return setting
            raise


def examples(*lines: str) -> str:
    """The end of a command's help: lines that a person can give to a shell as they are."""
    heading = "Examples:" if len(lines) > 1 else "Example:"
    # Typer makes one line of each paragraph, and brackets are rich's markup.
    return "\n\n".join([heading, *(line.replace("[", r"\[") for line in lines)])


def tell(facts: Mapping[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
    """Print what a command has done: as one JSON object, else in lines."""
    if as_json:
        print(json.dumps(facts))
        return
    for line in lines:
        print(printable(line))


def command_of(home: Home, *words: str) -> str:
    """A command of vidwatch on this home, as a person can give it to a shell."""
    return shlex.join(["vidwatch", "--home", str(home.root), *words])


def words_given(context: typer.Context) -> list[str]:
    """The words of the command that was given, but for its `--out`."""
    words = [context.command.name or ""]
    options = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name == "out":
            continue
        value = context.params[name]
        text = value.value if isinstance(value, StrEnum) else str(value)
        if parameter.param_type_name == "argument":
            words.append(text)
        else:
            options += [parameter.opts[0], text]
    return words + options


def described(score: "Score") -> str:
    """An accuracy with its interval."""
    low, high = score.interval
    return (
        f"{score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, {counted(score.n, 'clip')})"
    )


def print_skipped(skipped: dict[str, str]) -> None:
    """Print the files that could not be read, and why."""
    for name, reason in skipped.items():
        print(f"skipped {printable(name)}: {reason}", file=sys.stderr)


def features_by(engine: EngineKind, settings: "Settings", recipe: "Recipe") -> "Fill | None":
    """What fills the cache before a training by a recipe; None if the training does that itself.

    Raises:
        VidwatchError: the recipe needs no features.
    """
    if engine is EngineKind.local:
        return None
    if not recipe.training.freeze:
        why = f"recipe {recipe.name!r} trains its backbone, and has no features to compute before"
        raise VidwatchError(f"train: {why}; leave --engine out")
    from daemon.backfill.features import fill_by_cluster

    return fill_by_cluster(settings)


def open_cache(home: Home) -> "Cache":
    """The cache, with the limit that the home's settings give it."""
    from daemon.home import settings
    from daemon.home.space import GIGABYTE
    from learner.cache import Cache

    return Cache(round(settings.load(home.settings).cache_gigabytes * GIGABYTE))

"""The `vidwatch` command: reads arguments, makes one call, prints. What is heavy is imported where it runs."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.home import Home
from daemon.identity import printable
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

if TYPE_CHECKING:
    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.evaluate import Score

app = typer.Typer(
    help="Drop a video into a folder, read its class in a table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Pattern = Annotated[
    str, typer.Option("--group-pattern", help="Regular expression that finds a clip's group in its file name.")
]
Model = Annotated[str, typer.Option("--model", help='"starter", the name of a model in models/, or its path.')]


class SplitKind(StrEnum):
    """How clips are kept back."""

    group = "group"
    random = "random"


def main() -> None:
    """Run the command. What a person can mend is one line and exit status 2; anything else is a bug."""
    try:
        app()
    except VidwatchError as error:
        print(f"vidwatch: {printable(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vidwatch {version('vidwatch')}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="VIDWATCH_HOME", help="The home folder: inbox, database, models.")
    ] = Path("~/vidwatch"),
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.obj = Home.at(home)


@app.command()
def init(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(metavar="[DIR]", help="Where; the home folder if not given.")] = None,
) -> None:
    """Make a home folder: inbox, database, settings. What is there already stays as it is."""
    home = Home.at(folder) if folder else context.obj
    _make(home)
    print(f"{home.root} is ready: put videos into {home.inbox}, and start the daemon with:")
    print(f"vidwatch --home {shlex.quote(str(home.root))} run")


@app.command()
def run(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Work off what is in the inbox, then end.")] = False,
) -> None:
    """Watch the inbox and classify what comes in, until Ctrl-C or SIGTERM."""
    from daemon.stopping import Stop

    stop = Stop()
    stop.install()
    from daemon import live, settings

    home: Home = context.obj
    home.create()
    loaded = settings.load(home.settings)
    with live.shown(home) as tell:
        from daemon import service

        service.run(home, loaded, stop, once=once, tell=tell)


@app.command()
def status(
    context: typer.Context,
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until Ctrl-C.")] = False,
) -> None:
    """Show the daemon, the queue, the last answers and what failed."""
    from rich.console import Console

    from daemon.status import read_status, render

    if as_json and watch:
        raise VidwatchError("status: --json prints once; leave --watch out")
    if as_json:
        print(json.dumps(read_status(context.obj, _now()).to_json()))
    elif not watch:
        Console().print(render(read_status(context.obj, _now()), _now()))
    else:
        from rich.live import Live

        with Live(screen=True, auto_refresh=False) as view, _until_interrupted():
            while True:
                view.update(render(read_status(context.obj, _now()), _now()), refresh=True)
                time.sleep(1)


@app.command()
def classify(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILES…", help="Video files.")],
    model: Model = "starter",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Classify video files, without daemon or database. Exit status 1 where a file could not be read."""
    from learner.classifier import Unread

    unread = False
    for result in _load(context.obj, model).results(files):
        if isinstance(result, Unread):
            unread = True
            print(f"{printable(result.file)}: {result.error}", file=sys.stderr)
        elif as_json:
            print(json.dumps(result.to_json()), flush=True)
        else:
            answer = result.prediction
            doubt = "" if answer.known else " (perhaps of no class that the model knows)"
            print(f"{printable(result.file)}: {answer.class_name} {answer.probability:.1%}{doubt}", flush=True)
    if unread:
        raise typer.Exit(1)


@app.command()
def train(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")],
    recipe: Annotated[
        str, typer.Option(help="One of `vidwatch recipes`, or the path of a file of that kind.")
    ] = "default",
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="NAME", help="A name for models/, or a path; the recipe's if not given."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the clips, instead of the recipe's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")] = None,
    split: Annotated[
        SplitKind,
        typer.Option(help='How clips are kept back: "group", or "random" as in the course report, which flatters.'),
    ] = SplitKind.group,
    validation: Annotated[
        Path | None, typer.Option(help="Class folders to validate on, instead of clips of DIR.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="Class folders to test on, instead of clips of DIR.")] = None,
    weights: Annotated[Path | None, typer.Option(help="A file with the backbone's weights.")] = None,
    init_from: Annotated[str | None, typer.Option(metavar="MODEL", help="Begin with this model of ours.")] = None,
    group_pattern: Pattern = GROUP_PATTERN,
) -> None:
    """Train a model on a folder of class folders, and measure it on groups it has not seen."""
    compile_pattern(group_pattern)
    if weights and init_from:
        raise VidwatchError("train: --weights and --init-from both say what to begin with; give one of them")
    from learner.recipe import load as load_recipe

    changes = {name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    chosen = load_recipe(recipe).changed(changes)
    home: Home = context.obj
    name = _free_name(home, chosen.name) if out is None else out
    out_path = home.model(name)
    from daemon import progress
    from learner import splits
    from learner import train as training

    sources = splits.Sources(folder, validation, test, group_pattern, split.value)
    start = training.Start(weights, home.model_or_starter(init_from) if init_from else None)
    try:
        with progress.training(chosen.training.freeze) as watch:
            trained = training.train(sources, out_path, chosen, start, _cache(home), watch)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from the last epoch that was saved", file=sys.stderr)
        raise
    _name_skipped(trained.skipped)
    print(f"measured {trained.method}")
    if trained.groups == trained.clips:
        print("each clip counts as a group of its own: where several show one recording, see --group-pattern, or the")
        print("figures flatter the model")
    else:
        print(f"{trained.clips} clips of {trained.groups} groups")
    print(f"model:                 {_figures(trained.score)}, loss {trained.score.loss:.3f}")
    print(f"mean-pooling baseline: {_figures(trained.baseline)}, loss {trained.baseline.loss:.3f}")
    if chosen.report and not epochs:
        said = f"{chosen.report.accuracy:.1%}, loss {chosen.report.loss:.3f}"
        print(f"the course report says {said}, of its own 500 clips split at random")
    print(f"saved as {trained.path}; {trained.run / 'report.html'} tells more")
    used = str(trained.path.absolute()) if "/" in name else name
    print(f"to use it: set model = {json.dumps(used)} in {home.settings}, then restart the daemon")


@app.command()
def recipes(as_json: Json = False) -> None:
    """List the recipes that `train` knows, with the course report's figures."""
    from learner.recipe import load as load_recipe
    from learner.recipe import names

    found = [load_recipe(name) for name in names()]
    if as_json:
        print(json.dumps([recipe.to_json() for recipe in found]))
        return
    from rich.console import Console
    from rich.table import Column, Table

    columns = (Column("recipe", no_wrap=True), "what", "the report's accuracy", "loss")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for recipe in found:
        figures = (f"{recipe.report.accuracy:.2f}", f"{recipe.report.loss:.3f}") if recipe.report else ("", "")
        table.add_row(recipe.name, recipe.about, *figures)
    Console().print(table)


@app.command()
def cache(
    context: typer.Context,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
    as_json: Json = False,
) -> None:
    """Show what is kept of clips that were read (frames, features), or clear it."""
    from rich.filesize import decimal

    kept = _cache(context.obj)
    usage = kept.usage()
    if clear:
        kept.clear()
        if not as_json:
            print(f"cleared {sum(used.entries for used in usage.values())} entries")
        usage = kept.usage()
    if as_json:
        kinds = {kind: vars(used) for kind, used in usage.items()}
        print(json.dumps({"folder": str(kept.root), "limit": kept.limit, "kinds": kinds}))
        return
    for kind, used in usage.items():
        print(f"{kind:<9}{used.entries:>8} entries {decimal(used.size):>10}")
    print(f"{kept.root} may grow to {decimal(kept.limit)}: cache_gigabytes in vidwatch.toml changes that")


@app.command()
def evaluate(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")],
    model: Model = "starter",
    unknown: Annotated[
        Path | None, typer.Option(help="Class folders of what the model does not know: how often is that told?")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a folder of class folders, with its mean-pooling baseline beside it."""
    from rich.console import Console

    from daemon import progress
    from learner.evaluate import evaluate as measure

    with progress.reading() as bar:
        found = measure(folder, _load(context.obj, model), unknown, _cache(context.obj), bar)
    _name_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for name, score in ((f"model {found.model}", found.score), ("mean-pooling baseline", found.baseline)):
        print(f"{name + ':':<24}{_figures(score)}, loss {score.loss:.3f}")
    before, after = found.score.calibration_error
    print(f"an answer's probability is off by {before:.3f} on average, by {after:.3f} after temperature scaling")
    if told := found.unknowns:
        share = f"{told.told:.1%} (95 % interval {told.interval[0]:.1%} to {told.interval[1]:.1%})"
        print(f"of {told.n} clips of no known class, {share} are told; {told.known_kept:.1%} of the known are left")
    if found.seen:
        print(f"{found.seen} of the clips were among those it was trained on: the figures flatter it")
    Console().print(_class_table(found.score.per_class))


@app.command()
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models: the starter, and those in models/."""
    from rich.console import Console
    from rich.table import Table

    from learner.catalogue import find_models

    found = find_models(context.obj.models)
    if as_json:
        print(json.dumps([model.to_json() for model in found]))
        return
    table = Table("name", "accuracy on unseen clips", "learned from", "classes", box=None, padding=(0, 2, 0, 0))
    for model in found:
        accuracy = "not measured"
        if model.accuracy is not None and model.interval:
            flattered = ", flattered" if "optimistic" in model.method or "flattering" in model.method else ""
            accuracy = f"{model.accuracy:.1%} ({model.interval[0]:.1%} to {model.interval[1]:.1%}{flattered})"
        classes = ", ".join(model.classes)
        table.add_row(model.name, accuracy, f"{model.clips} clips", printable(model.problem or classes))
    Console().print(table)


def _make(home: Home) -> None:
    from daemon.upgrade import upgrade

    home.create()
    upgrade(home.database)


def _load(home: Home, name: str) -> "Classifier":
    from learner.classifier import Classifier

    return Classifier.load(home.model_or_starter(name))


def _now() -> datetime:
    return datetime.now(UTC)


def _figures(score: "Score") -> str:
    low, high = score.interval
    return f"{score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, {score.n} clips)"


def _name_skipped(skipped: dict[str, str]) -> None:
    for name, reason in skipped.items():
        print(f"skipped {printable(name)}: {reason}", file=sys.stderr)


def _class_table(per_class: dict[str, dict[str, float]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("class", "right", "clips", "precision", "recall", box=None, padding=(0, 2, 0, 0))
    for name, row in per_class.items():
        counts = (f"{row['correct']:.0f}", f"{row['n']:.0f}")
        table.add_row(escape(printable(name)), *counts, f"{row['precision']:.1%}", f"{row['recall']:.1%}")
    return table


def _cache(home: Home) -> "Cache":
    from daemon import settings
    from learner.cache import GIGABYTE, Cache

    return Cache(round(settings.load(home.settings).cache_gigabytes * GIGABYTE))


def _free_name(home: Home, name: str) -> str:
    """The recipe's name, with a number where there is such a model already; an unfinished run is gone on with."""
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(free for free in candidates if not home.model(free).with_name(f"{free}.safetensors").exists())


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return

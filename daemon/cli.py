"""The `vidwatch` command: reads arguments, makes one call, prints. What is heavy is imported where it runs."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.home import Home
from daemon.identity import printable
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

if TYPE_CHECKING:
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
            print(f"{printable(result.file)}: {answer.class_name} {answer.probability:.1%}", flush=True)
    if unread:
        raise typer.Exit(1)


@app.command()
def train(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")],
    out: Annotated[str, typer.Option("--out", metavar="NAME", help="A name for models/, or a path.")],
    group_pattern: Pattern = GROUP_PATTERN,
    model: Annotated[str, typer.Option("--model", help="The model whose backbone is used.")] = "starter",
    weights: Annotated[
        Path | None, typer.Option(help="Begin with a bare backbone and its weights from this file instead.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the clips.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 0,
) -> None:
    """Train a model on a folder of class folders, and measure it on groups it has not seen."""
    compile_pattern(group_pattern)
    out_path = context.obj.model(out)
    from learner import train as training
    from learner.classifier import Classifier

    settings = training.TrainSettings(seed=seed, **({"epochs": epochs} if epochs else {}))
    start = Classifier.from_backbone(weights) if weights else _load(context.obj, model)
    with _progress("reading clips") as progress:
        trained = training.train(folder, out_path, start, settings, group_pattern, progress)
    _name_skipped(trained.skipped)
    if trained.score and trained.baseline:
        print(f"on groups it had not seen (cross-validation): {_figures(trained.score)}")
        print(f"mean-pooling baseline:                        {_figures(trained.baseline)}")
    else:
        print("not measured: each class needs clips of two groups (recordings, scenes), so that one can be held out")
    print(f"saved as {trained.path}")
    name = str(trained.path.absolute()) if "/" in out else out
    print(f"to use it: set model = {json.dumps(name)} in {context.obj.settings}, then restart the daemon")


@app.command()
def evaluate(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")],
    model: Model = "starter",
    as_json: Json = False,
) -> None:
    """Measure a model on a folder of class folders, with its mean-pooling baseline beside it."""
    from rich.console import Console

    from learner.evaluate import evaluate as measure

    with _progress("reading clips") as progress:
        found = measure(folder, _load(context.obj, model), progress=progress)
    _name_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for name, score in ((f"model {found.model}", found.score), ("mean-pooling baseline", found.baseline)):
        print(f"{name + ':':<24}{_figures(score)}, loss {score.loss:.3f}")
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
    table = Table("name", "accuracy on unseen groups", "learned from", "classes", box=None, padding=(0, 2, 0, 0))
    for model in found:
        accuracy = "not measured"
        if model.accuracy is not None and model.interval:
            accuracy = f"{model.accuracy:.1%} ({model.interval[0]:.1%} to {model.interval[1]:.1%})"
        classes = ", ".join(model.classes)
        table.add_row(model.name, accuracy, f"{model.clips} clips", printable(model.problem or classes))
    Console().print(table)


def _make(home: Home) -> None:
    from daemon.upgrade import upgrade

    home.create()
    upgrade(home.database)


def _load(home: Home, name: str) -> "Classifier":
    from learner.classifier import Classifier

    return Classifier.load(None if name == "starter" else home.model(name))


def _now() -> datetime:
    return datetime.now(UTC)


def _figures(score: "Score") -> str:
    low, high = score.interval
    return f"{score.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%}, {score.n} clips)"


def _name_skipped(skipped: dict[str, str]) -> None:
    for name, reason in skipped.items():
        print(f"skipped {printable(name)}: {reason}", file=sys.stderr)


def _class_table(per_class: dict[str, dict[str, float]]) -> Any:
    from rich.table import Table

    table = Table("class", "right", "clips", "accuracy", box=None, padding=(0, 2, 0, 0))
    for name, row in per_class.items():
        table.add_row(name, f"{row['correct']:.0f}", f"{row['n']:.0f}", f"{row['accuracy']:.1%}")
    return table


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, of: bars.update(bar, completed=done, total=of)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        return

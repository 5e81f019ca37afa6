"""The `vidwatch` command: reads arguments, makes one call, prints. What is heavy is imported where it runs."""

import getpass
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
    from sqlalchemy import Engine

    from daemon.history import DecisionRow
    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.evaluate import Score

app = typer.Typer(
    help="Drop a video into a folder, read its class in a table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

models_app = typer.Typer(help="Models: which there are, which one answers.")
app.add_typer(models_app, name="models")

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


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models: the starter, and those in models/; which one answers, and how it came to that."""
    if context.invoked_subcommand:
        return
    from rich.console import Console
    from rich.table import Table

    from learner.catalogue import find_models

    found = find_models(context.obj.models)
    decisions, champion, in_shadow = _history_of(context.obj)
    listed: list[dict[str, Any]] = []
    if as_json:
        for model in found:
            about = [decision.to_json() for decision in decisions if decision.challenger == model.name]
            listed.append({**model.to_json(), "answers": model.name == champion, "decisions": about})
        print(json.dumps(listed))
        return
    table = Table("", "name", "accuracy on unseen clips", "learned from", "classes", box=None, padding=(0, 2, 0, 0))
    for model in found:
        accuracy = "not measured"
        if model.accuracy is not None and model.interval:
            flattered = ", flattered" if "optimistic" in model.method or "flattering" in model.method else ""
            accuracy = f"{model.accuracy:.1%} ({model.interval[0]:.1%} to {model.interval[1]:.1%}{flattered})"
        answers, classes = "*" if model.name == champion else "", ", ".join(model.classes)
        table.add_row(answers, model.name, accuracy, f"{model.clips} clips", printable(model.problem or classes))
    console = Console()
    console.print(table)
    if decisions:
        console.print(_decision_table(decisions))
    if in_shadow:
        print(in_shadow)


@models_app.command()
def promote(
    context: typer.Context, name: Annotated[str, typer.Argument(help='"starter", or the name of a model in models/.')]
) -> None:
    """Let a model answer from now on, whatever comparisons say."""
    _load(context.obj, name)  # one that cannot be used is refused here
    with _database(context.obj) as engine:
        from daemon.history import History

        used = str(context.obj.model_or_starter(name).absolute()) if "/" in name else name
        History(engine).choose(used, _now())
    print(f"{name} answers from now on")


@models_app.command()
def rollback(context: typer.Context) -> None:
    """Go back to the model that answered before."""
    with _database(context.obj) as engine:
        from daemon.history import History

        back, bad = History(engine).roll_back(_now())
    print(f"{back} answers from now on, instead of {bad}")


@app.command()
def retrain(context: typer.Context) -> None:
    """Ask the daemon to train a new model now, on the labels there are."""
    from daemon import settings
    from daemon.retraining import ask

    home: Home = context.obj
    with _database(home) as engine:
        print(ask(engine, home, settings.load(home.settings), _now()))
    if not home.running():
        print("the daemon is not running: it begins when you start it")


@app.command()
def label(
    context: typer.Context,
    videos: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE|ID… [CLASS]", help="Videos by id, path or name; the class comes last."),
    ] = None,
    accept: Annotated[bool, typer.Option("--accept", help="Their answers are right; give no class.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take their last label back; give no class.")] = False,
    csv: Annotated[Path | None, typer.Option(help="A file with the columns file and label.")] = None,
) -> None:
    """Say what class videos are of, so that the model can learn from them."""
    from daemon.filing import Folders
    from daemon.labels import Labels, Said, find_videos, import_csv

    words = videos or []
    if accept + undo + (csv is not None) > 1 or (csv and words):
        raise VidwatchError("label: give one of --accept, --undo and --csv; with --csv, nothing else")
    if not csv and len(words) < (1 if accept or undo else 2):
        raise VidwatchError("label: give videos, and then the class; or --accept, --undo or --csv FILE")
    home: Home = context.obj
    with _database(home) as engine:
        said, who = Labels(engine, Folders(home.root)), getpass.getuser()
        if csv:
            given = import_csv(csv, engine)
            said.say(given, "csv", who, _now())
        elif accept or undo:
            given = [Said(video, "withdrawn") for video in find_videos(words, Path(), engine)]
            change = said.accept if accept else said.undo
            change([one.video_id for one in given], "accepted" if accept else "command", who, _now())
        else:
            given = [Said(video, "labelled", words[-1]) for video in find_videos(words[:-1], Path(), engine)]
            said.say(given, "command", who, _now())
    moved = "" if home.running() else "; the daemon is not running: it moves the files when you start it"
    print(f"{len(given)} label{'s' * (len(given) != 1)} {'taken back' if undo else 'noted'}{moved}")


@app.command()
def labels(context: typer.Context, as_json: Json = False) -> None:
    """Show how many labels each class has, and which should be looked at again."""
    from rich.console import Console

    from daemon import hygiene, settings
    from daemon.filing import Folders

    home: Home = context.obj
    with _database(home) as engine, engine.begin() as read:
        enough = settings.load(home.settings).min_class_clips
        found = hygiene.examine(read, Folders(home.root), home.models, enough)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        Console().print(hygiene.render(found))


@app.command()
def rescore(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", help="The model; the one that answers if not given.")] = None,
) -> None:
    """Let a later model look at earlier videos: its predictions stand beside the answers, and no file is moved."""
    from daemon import progress
    from daemon.rescoring import rescore as look_again

    home: Home = context.obj
    with _database(home) as engine, progress.reading() as bar:
        found = look_again(home, engine, model, _cache(home), _now(), bar)
    print(f"{found.model}: {found.scored} videos, of which {found.other} get another class than their answer")
    if found.gone:
        print(f"{found.gone} videos are left out: neither their features nor their files are there any more")


@app.command()
def review(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="The address to listen on; any other than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(envvar="VIDWATCH_REVIEW_TOKEN", help="What a browser must bring, in the link that is printed."),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser, too.")] = False,
) -> None:
    """Serve a web page on which to review answers: accept or correct them. The daemon need not run."""
    from daemon import settings
    from daemon.review.server import serve

    home: Home = context.obj
    serve(home, settings.load(home.settings), host, port, token or None, open_browser=open_browser)


def _history_of(home: Home) -> "tuple[list[DecisionRow], str | None, str]":
    """The decisions, which model answers, and of the one in its shadow; nothing where there is no database yet."""
    if not home.database.is_file():
        return [], None, ""
    from sqlalchemy.exc import OperationalError

    from daemon.history import History
    from daemon.store import connect

    engine = connect(home.database, read_only=True)
    history = History(engine)
    try:
        decisions, champion, row = history.decisions(), history.champion(), history.undecided()
        n, same = history.agreement(row.challenger) if row else (0, 0)
    except OperationalError as error:
        if "no such table" in str(error):  # no daemon of this version has run here yet
            return [], None, ""
        raise VidwatchError(f"database {home.database}: {error.orig}; run this as the daemon's user") from error
    finally:
        engine.dispose()
    told = (
        f"{row.challenger} runs in the shadow: it gave {same} of {n} new clips the class of the answer" if row else ""
    )
    return decisions, champion, told


def _decision_table(decisions: "list[DecisionRow]") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="History", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in ("when", "model", "", "against"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in decisions:
        names = (Text(printable(name or "")) for name in (row.challenger, row.verdict, row.champion))
        table.add_row(f"{row.created_at:%Y-%m-%d %H:%M}", *names, Text(printable(row.reason)))
    return table


@contextmanager
def _database(home: Home) -> "Iterator[Engine]":
    """The home's database, brought up to date where it is older than this program."""
    from sqlalchemy.exc import OperationalError

    from daemon.store import connect
    from daemon.upgrade import upgrade

    home.require()
    if not home.running():
        upgrade(home.database)
    engine = connect(home.database)
    try:
        yield engine
    except OperationalError as error:
        raise VidwatchError(f"database {home.database}: {error.orig}; try again, as the daemon's user") from error
    finally:
        engine.dispose()


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

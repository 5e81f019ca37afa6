"""The commands around models: train, measure, list, choose. What is heavy is imported where it runs."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.identity import printable
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from daemon.training.decisions import DecisionRow
    from learner.cache import Cache
    from learner.classifier import Classifier
    from learner.evaluate import Score

app = typer.Typer()
models_app = typer.Typer(help="Models: which there are, which one answers.")
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Pattern = Annotated[
    str,
    typer.Option(
        "--group-pattern", help="Regular expression that finds a clip's group in its file name."
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


class SplitKind(StrEnum):
    """How clips are kept back."""

    group = "group"
    random = "random"


@app.command()
def classify(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILES…", help="Video files.")],
    model: Model = "starter",
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Classify video files, without daemon or database. Exit status 1 where a file could not be read."""
    from learner.classifier import Unread
    from learner.process import keep_freed_memory

    keep_freed_memory()
    unread = False
    for result in _load(context.obj, model, device).results(files):
        if isinstance(result, Unread):
            unread = True
            print(f"{printable(result.file)}: {result.error}", file=sys.stderr)
        elif as_json:
            print(json.dumps(result.to_json()), flush=True)
        else:
            answer = result.prediction
            doubt = "" if answer.known else " (perhaps of no class that the model knows)"
            print(
                f"{printable(result.file)}: {answer.class_name} {answer.probability:.1%}{doubt}",
                flush=True,
            )
    if unread:
        raise typer.Exit(1)


@app.command()
def train(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")
    ],
    recipe: Annotated[
        str, typer.Option(help="One of `vidwatch recipes`, or the path of a file of that kind.")
    ] = "default",
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="NAME",
            help="A name for models/, or a path; the recipe's if not given.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes over the clips, instead of the recipe's.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same model.")
    ] = None,
    split: Annotated[
        SplitKind,
        typer.Option(
            help='How clips are kept back: "group", or "random" as in the course report, which flatters.'
        ),
    ] = SplitKind.group,
    validation: Annotated[
        Path | None, typer.Option(help="Class folders to validate on, instead of clips of DIR.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Class folders to test on, instead of clips of DIR.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file with the backbone's weights.")
    ] = None,
    init_from: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Begin with this model of ours.")
    ] = None,
    group_pattern: Pattern = GROUP_PATTERN,
    device: Device = None,
) -> None:
    """Train a model on a folder of class folders, and measure it on groups it has not seen."""
    compile_pattern(group_pattern)
    if weights and init_from:
        raise VidwatchError(
            "train: --weights and --init-from both say what to begin with; give one of them"
        )
    from learner.recipe import load as load_recipe

    changes = {
        name: value for name, value in (("epochs", epochs), ("seed", seed)) if value is not None
    }
    chosen = load_recipe(recipe).changed(changes)
    home: Home = context.obj
    name = _free_name(home, chosen.name) if out is None else out
    out_path = home.model(name)
    from daemon.cli import progress
    from daemon.home import settings
    from learner import splits
    from learner import train as training
    from learner.process import keep_freed_memory

    keep_freed_memory()
    loaded = settings.load(home.settings)

    sources = splits.Sources(folder, validation, test, group_pattern, split.value)
    start = training.Start(weights, home.model_or_starter(init_from) if init_from else None)
    try:
        with progress.training(chosen.training.freeze) as watch:
            trained = training.train(
                sources,
                out_path,
                chosen,
                start,
                _cache(home),
                watch,
                device=device or loaded.device,
                exact=loaded.exact_frames,
            )
    except KeyboardInterrupt:
        print(
            "interrupted: the same command goes on from the last epoch that was saved",
            file=sys.stderr,
        )
        raise
    _name_skipped(trained.skipped)
    print(f"measured {trained.method}")
    if trained.groups == trained.clips:
        print(
            "each clip counts as a group of its own: where several show one recording, see --group-pattern, or the"
        )
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
        figures = (
            (f"{recipe.report.accuracy:.2f}", f"{recipe.report.loss:.3f}")
            if recipe.report
            else ("", "")
        )
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
    print(
        f"{kept.root} may grow to {decimal(kept.limit)}: cache_gigabytes in vidwatch.toml changes that"
    )


@app.command()
def evaluate(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")
    ],
    model: Model = "starter",
    unknown: Annotated[
        Path | None,
        typer.Option(help="Class folders of what the model does not know: how often is that told?"),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a folder of class folders, with its mean-pooling baseline beside it."""
    from rich.console import Console

    from daemon.cli import progress
    from learner.evaluate import evaluate as measure
    from learner.process import keep_freed_memory

    keep_freed_memory()
    with progress.reading() as bar:
        classifier = _load(context.obj, model, device)
        found = measure(folder, classifier, unknown, _cache(context.obj), bar)
    _name_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for name, score in (
        (f"model {found.model}", found.score),
        ("mean-pooling baseline", found.baseline),
    ):
        print(f"{name + ':':<24}{_figures(score)}, loss {score.loss:.3f}")
    before, after = found.score.calibration_error
    print(
        f"an answer's probability is off by {before:.3f} on average, by {after:.3f} after temperature scaling"
    )
    if told := found.unknowns:
        share = f"{told.told:.1%} (95 % interval {told.interval[0]:.1%} to {told.interval[1]:.1%})"
        print(
            f"of {told.n} clips of no known class, {share} are told; {told.known_kept:.1%} of the known are left"
        )
    if found.seen:
        print(
            f"{found.seen} of the clips were among those it was trained on: the figures flatter it"
        )
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
            about = [
                decision.to_json() for decision in decisions if decision.challenger == model.name
            ]
            listed.append(
                {**model.to_json(), "answers": model.name == champion, "decisions": about}
            )
        print(json.dumps(listed))
        return
    table = Table(
        "",
        "name",
        "accuracy on unseen clips",
        "learned from",
        "classes",
        box=None,
        padding=(0, 2, 0, 0),
    )
    for model in found:
        accuracy = "not measured"
        if model.accuracy is not None and model.interval:
            flattered = (
                ", flattered"
                if "optimistic" in model.method or "flattering" in model.method
                else ""
            )
            accuracy = f"{model.accuracy:.1%} ({model.interval[0]:.1%} to {model.interval[1]:.1%}{flattered})"
        answers, classes = "*" if model.name == champion else "", ", ".join(model.classes)
        table.add_row(
            answers,
            model.name,
            accuracy,
            f"{model.clips} clips",
            printable(model.problem or classes),
        )
    console = Console()
    console.print(table)
    if decisions:
        console.print(_decision_table(decisions))
    if in_shadow:
        print(in_shadow)


@models_app.command()
def promote(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help='"starter", or the name of a model in models/.')],
) -> None:
    """Let a model answer from now on, whatever comparisons say."""
    _load(context.obj, name)  # one that cannot be used is refused here
    with database(context.obj) as engine:
        from daemon.training.decisions import History

        used = str(context.obj.model_or_starter(name).absolute()) if "/" in name else name
        History(engine).choose(used, now())
    print(f"{name} answers from now on")


@models_app.command()
def rollback(context: typer.Context) -> None:
    """Go back to the model that answered before."""
    with database(context.obj) as engine:
        from daemon.training.decisions import History

        history = History(engine)
        back, answers = history.before()
        try:
            _load(context.obj, back)
        except VidwatchError as error:
            hint = f"{answers} goes on; 'vidwatch models promote NAME' lets another answer"
            raise VidwatchError(
                f"the model before {answers!r} cannot be used ({error}): {hint}"
            ) from error
        back, bad = history.roll_back(now())
    print(f"{back} answers from now on, instead of {bad}")


@app.command()
def rescore(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option("--model", help="The model; the one that answers if not given.")
    ] = None,
    device: Device = None,
) -> None:
    """Let a later model look at earlier videos: its predictions stand beside the answers, and no file is moved."""
    from daemon.classify.rescoring import rescore as look_again
    from daemon.cli import progress
    from learner.process import keep_freed_memory

    keep_freed_memory()
    home: Home = context.obj
    with database(home) as engine, progress.reading() as bar:
        found = look_again(home, engine, model, _cache(home), now(), bar, device)
    print(
        f"{found.model}: {found.scored} videos, of which {found.other} get another class than their answer"
    )
    if found.gone:
        print(
            f"{found.gone} videos are left out: neither their features nor their files are there any more"
        )


def _history_of(home: Home) -> "tuple[list[DecisionRow], str | None, str]":
    """The decisions, which model answers, and of the one in its shadow; nothing where there is no database yet."""
    if not home.database.is_file():
        return [], None, ""
    from sqlalchemy.exc import DatabaseError

    from daemon.database.connection import SAFE, connect, is_damage
    from daemon.training.decisions import History

    engine = connect(home.database, read_only=True)
    history = History(engine)
    try:
        decisions, champion, row = history.decisions(), history.champion(), history.undecided()
        n, same = history.agreement(row.challenger) if row else (0, 0)
    except DatabaseError as error:
        if is_damage(error.orig):
            raise VidwatchError(
                f"database {home.database} is damaged ({error.orig}): {SAFE}"
            ) from error
        if "no such table" in str(error):  # no daemon of this version has run here yet
            return [], None, ""
        raise VidwatchError(
            f"database {home.database}: {error.orig}; run this as the daemon's user"
        ) from error
    finally:
        engine.dispose()
    told = (
        f"{row.challenger} runs in the shadow: it gave {same} of {n} new clips the class of the answer"
        if row
        else ""
    )
    return decisions, champion, told


def _decision_table(decisions: "list[DecisionRow]") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="History", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for name in ("when", "model", "", "against"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in decisions:
        names = (
            Text(printable(name or "")) for name in (row.challenger, row.verdict, row.champion)
        )
        table.add_row(f"{row.created_at:%Y-%m-%d %H:%M}", *names, Text(printable(row.reason)))
    return table


@contextmanager
def database(home: Home) -> "Iterator[Engine]":
    """The home's database, brought up to date where it is older than this program."""
    from sqlalchemy.exc import OperationalError

    from daemon.database.connection import connect
    from daemon.database.upgrade import upgrade

    home.require()
    if not home.running():
        upgrade(home.database)
    engine = connect(home.database)
    try:
        yield engine
    except OperationalError as error:
        raise VidwatchError(
            f"database {home.database}: {error.orig}; try again, as the daemon's user"
        ) from error
    finally:
        engine.dispose()


def _load(home: Home, name: str, device: str | None = None) -> "Classifier":
    from daemon.home import settings
    from learner.classifier import Classifier

    loaded = settings.load(home.settings)
    return Classifier.load(home.model_or_starter(name), device or loaded.device, loaded.reading)


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
        table.add_row(
            escape(printable(name)), *counts, f"{row['precision']:.1%}", f"{row['recall']:.1%}"
        )
    return table


def _cache(home: Home) -> "Cache":
    from daemon.home import settings
    from daemon.home.space import GIGABYTE
    from learner.cache import Cache

    return Cache(round(settings.load(home.settings).cache_gigabytes * GIGABYTE))


def _free_name(home: Home, name: str) -> str:
    """The recipe's name, with a number where there is such a model already; an unfinished run is gone on with."""
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(
        free
        for free in candidates
        if not home.model(free).with_name(f"{free}.safetensors").exists()
    )

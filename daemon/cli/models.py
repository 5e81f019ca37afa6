"""The commands about models: `classify`, `evaluate`, `models`, `rescore`.

Slow imports stand in the commands that need them.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli.shared import (
    Device,
    Json,
    Model,
    database,
    described,
    load_model,
    open_cache,
    print_skipped,
)
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.texts import counted, printable
from learner.catalogue import model_name
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.training.decisions import DecisionRow
    from learner.catalogue import Entry
    from learner.evaluate import Unknowns

app = typer.Typer()
models_app = typer.Typer(help="The models: which there are, and which one is the champion.")
app.add_typer(models_app, name="models")


@app.command()
def classify(
    context: typer.Context,
    files: Annotated[list[str], typer.Argument(metavar="FILES…", help="Video files.")],
    model: Model = "starter",
    device: Device = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Classify video files, without daemon or database.

    Exit status 1 if a file could not be read.
    """
    from learner.classifier import Unread
    from learner.process import keep_freed_memory

    keep_freed_memory()
    has_unread = False
    for result in load_model(context.obj, model, device).results(files):
        if isinstance(result, Unread):
            has_unread = True
            print(f"{printable(result.file)}: {result.error}", file=sys.stderr)
        elif as_json:
            print(json.dumps(result.to_json()), flush=True)
        else:
            found = result.prediction
            note = "" if found.known else " (perhaps of no class that the model knows)"
            line = f"{found.class_name} {found.probability:.1%}{note}"
            print(f"{printable(result.file)}: {line}", flush=True)
    if has_unread:
        raise typer.Exit(1)


@app.command()
def evaluate(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")
    ],
    model: Model = "starter",
    unknown: Annotated[
        Path | None,
        typer.Option(
            help="Class folders of unknown classes: how many clips are recognized as unknown?"
        ),
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
        classifier = load_model(context.obj, model, device)
        found = measure(folder, classifier, unknown, open_cache(context.obj), bar)
    print_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    scores = {f"model {found.model}": found.score, "mean-pooling baseline": found.baseline}
    for name, score in scores.items():
        print(f"{name + ':':<24}{described(score)}, loss {score.loss:.3f}")
    before, after = found.score.calibration_error
    scaled = f"by {after:.3f} after temperature scaling"
    print(f"a prediction's probability is off by {before:.3f} on average, {scaled}")
    if found.unknowns:
        _print_unknowns(found.unknowns)
    if found.seen:
        reason = f"{found.seen} of the clips were among those it was trained on"
        print(f"{reason}: the figures flatter it")
    Console().print(_class_table(found.score.per_class))


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models, which one is the champion, and how each comparison ended."""
    if context.invoked_subcommand:
        return
    from rich.console import Console

    from learner.catalogue import find_models

    found = find_models(context.obj.models)
    history = _read_history(context.obj)
    if as_json:
        print(json.dumps([_to_json(model, history) for model in found]))
        return
    console = Console()
    console.print(_model_table(found, history.champion))
    if history.decisions:
        console.print(_decision_table(history.decisions))
    if history.shadow:
        print(history.shadow)


@models_app.command()
def promote(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help='"starter", or the name of a model in models/.')],
) -> None:
    """Make a model the champion, whatever comparisons say."""
    load_model(context.obj, name, "cpu")  # one that cannot be used is refused here
    with database(context.obj) as engine:
        from daemon.training.decisions import Decisions

        noted = str(context.obj.model_or_starter(name).absolute()) if "/" in name else name
        Decisions(engine).choose(noted, now())
    print(f"{name} is the champion from now on")


@models_app.command()
def rollback(context: typer.Context) -> None:
    """Make the champion before this one the champion again."""
    with database(context.obj) as engine:
        from daemon.training.decisions import Decisions

        decisions = Decisions(engine)
        back, champion = decisions.previous()
        try:
            load_model(context.obj, back, "cpu")
        except VidwatchError as error:
            problem = f"the model before {champion!r} cannot be used ({error})"
            hint = f"{champion} stays the champion; 'vidwatch models promote NAME' chooses another"
            raise VidwatchError(f"{problem}: {hint}") from error
        back, replaced = decisions.roll_back(now())
    print(f"{back} is the champion from now on, instead of {replaced}")


@app.command()
def rescore(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option("--model", help="The model; the champion if not given.")
    ] = None,
    device: Device = None,
) -> None:
    """Have a later model predict earlier videos. No file is moved.

    Its predictions stand beside the first ones.
    """
    from daemon.classify.rescoring import rescore as rescore_videos
    from daemon.cli import progress
    from learner.process import keep_freed_memory

    keep_freed_memory()
    home: Home = context.obj
    with database(home) as engine, progress.reading() as bar:
        found = rescore_videos(home, engine, model, open_cache(home), now(), bar, device)
    videos = counted(found.predicted, "video")
    print(f"{found.model} predicted {videos}; {found.changed} get another class than before")
    if found.left_out:
        reason = "their features are gone, and their files are gone, cut short or cannot be read"
        print(f"left out, because {reason}: {counted(found.left_out, 'video')}")


@dataclass(frozen=True)
class _History:
    """What the database knows of the models."""

    decisions: "list[DecisionRow]" = field(default_factory=list)
    """The newest first."""
    champion: str | None = None
    shadow: str = ""
    """A line about the challenger in the shadow; empty if there is none."""


def _read_history(home: Home) -> _History:
    """Empty if there is no database yet."""
    if not home.database.is_file():
        return _History()
    from sqlalchemy.exc import OperationalError

    from daemon.database.connection import opened
    from daemon.training.decisions import Decisions

    with opened(home.database, read_only=True) as engine:
        decisions = Decisions(engine)
        try:
            newest_first = decisions.newest_first()
            champion = decisions.champion()
            name = model_name(champion) if champion else None
            row = decisions.undecided()
            shadow = ""
            if row:
                n, same = decisions.agreement(row.challenger)
                agreed = f"{same} of {n} new clips as the champion did"
                shadow = f"{row.challenger} runs in the shadow: it classified {agreed}"
        except OperationalError as error:
            if "no such table" in str(error.orig):  # no daemon of this version has run here yet
                return _History()
            raise
    return _History(newest_first, name, shadow)


def _to_json(model: "Entry", history: _History) -> dict[str, Any]:
    decisions = [
        decision.to_json()
        for decision in history.decisions
        if model_name(decision.challenger) == model.name
    ]
    is_champion = model.name == history.champion
    return {**model.to_json(), "answers": is_champion, "decisions": decisions}


def _model_table(models: "Sequence[Entry]", champion: str | None) -> Any:
    from rich.table import Table

    columns = ("", "name", "accuracy on unseen clips", "learned from", "classes")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for model in models:
        mark = "*" if model.name == champion else ""
        problem_or_classes = printable(model.problem or ", ".join(model.classes))
        clips = f"{model.clips} clips"
        table.add_row(mark, model.name, _accuracy(model), clips, problem_or_classes)
    return table


def _accuracy(model: "Entry") -> str:
    if model.accuracy is None or not model.interval:
        return "not measured"
    low, high = model.interval
    is_flattered = "optimistic" in model.method or "flattering" in model.method
    note = ", flattered" if is_flattered else ""
    return f"{model.accuracy:.1%} ({low:.1%} to {high:.1%}{note})"


def _decision_table(decisions: "Sequence[DecisionRow]") -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="Decisions", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
    )
    for name in ("when", "model", "", "against"):
        table.add_column(name, no_wrap=True)
    table.add_column("why", overflow="fold")
    for row in decisions:
        before = model_name(row.champion) if row.champion else ""
        cells = (model_name(row.challenger), row.verdict, before, row.reason)
        when = f"{row.created_at:%Y-%m-%d %H:%M}"
        table.add_row(when, *(Text(printable(cell)) for cell in cells))
    return table


def _print_unknowns(found: "Unknowns") -> None:
    low, high = found.interval
    share = f"{found.told:.1%} (95 % interval {low:.1%} to {high:.1%})"
    print(f"of {found.n} clips of unknown classes, {share} are recognized as unknown")
    print(f"of the clips of known classes, {found.known_kept:.1%} are not taken for unknown")


def _class_table(per_class: dict[str, dict[str, float]]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("class", "right", "clips", "precision", "recall", box=None, padding=(0, 2, 0, 0))
    for name, row in per_class.items():
        table.add_row(
            escape(printable(name)),
            f"{row['correct']:.0f}",
            f"{row['n']:.0f}",
            f"{row['precision']:.1%}",
            f"{row['recall']:.1%}",
        )
    return table

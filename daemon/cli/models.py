"""The commands around models: train, measure, list, choose. What is heavy is imported where it runs."""

import json
import sys
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
from daemon.home.identity import printable
from learner.errors import VidwatchError

if TYPE_CHECKING:
    from daemon.training.decisions import DecisionRow

app = typer.Typer()
models_app = typer.Typer(help="Models: which there are, which one answers.")
app.add_typer(models_app, name="models")


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

    unread = False
    for result in load_model(context.obj, model, device).results(files):
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

    with progress.reading() as bar:
        found = measure(
            folder, load_model(context.obj, model, device), unknown, open_cache(context.obj), bar
        )
    print_skipped(found.skipped)
    if as_json:
        print(json.dumps(found.to_json()))
        return
    for name, score in (
        (f"model {found.model}", found.score),
        ("mean-pooling baseline", found.baseline),
    ):
        print(f"{name + ':':<24}{described(score)}, loss {score.loss:.3f}")
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
    load_model(context.obj, name)  # one that cannot be used is refused here
    with database(context.obj) as engine:
        from daemon.training.decisions import Decisions

        used = str(context.obj.model_or_starter(name).absolute()) if "/" in name else name
        Decisions(engine).choose(used, now())
    print(f"{name} answers from now on")


@models_app.command()
def rollback(context: typer.Context) -> None:
    """Go back to the model that answered before."""
    with database(context.obj) as engine:
        from daemon.training.decisions import Decisions

        history = Decisions(engine)
        back, answers = history.previous()
        try:
            load_model(context.obj, back)
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

    home: Home = context.obj
    with database(home) as engine, progress.reading() as bar:
        found = look_again(home, engine, model, open_cache(home), now(), bar, device)
    print(
        f"{found.model}: {found.predicted} videos, of which {found.changed} get another class than their answer"
    )
    if found.left_out:
        print(
            f"{found.left_out} videos are left out: neither their features nor their files are there any more"
        )


def _history_of(home: Home) -> "tuple[list[DecisionRow], str | None, str]":
    """The decisions, which model answers, and of the one in its shadow; nothing where there is no database yet."""
    if not home.database.is_file():
        return [], None, ""
    from sqlalchemy.exc import OperationalError

    from daemon.database.connection import is_outdated, opened
    from daemon.training.decisions import Decisions

    with opened(home.database, read_only=True) as engine:
        history = Decisions(engine)
        try:
            decisions = history.newest_first()
            champion = history.champion()
            row = history.undecided()
            n, same = history.agreement(row.challenger) if row else (0, 0)
        except OperationalError as error:
            if is_outdated(error):  # no daemon of this version has run here yet
                return [], None, ""
            raise
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
        title="Decisions", title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0)
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

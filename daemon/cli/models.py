"""The commands about models: `models` with `promote` and `rollback`, and `rescore`.

Slow imports stand in the commands that need them.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli import completion
from daemon.cli.shared import (
    Device,
    Json,
    JsonResult,
    console,
    database,
    examples,
    model_of,
    open_cache,
    tell,
)
from daemon.home.clock import local_time, now
from daemon.home.folder import Home
from daemon.home.texts import printable
from learner.catalogue import describe, model_name
from learner.texts import counted

if TYPE_CHECKING:
    from daemon.training.records import DecisionRow
    from learner.catalogue import Entry

app = typer.Typer()
models_app = typer.Typer(help="The models: which there are, and which one is the champion.")
app.add_typer(models_app, name="models")


@models_app.callback(
    invoke_without_command=True,
    epilog=examples("vidwatch models", "vidwatch models promote auto-2"),
)
def models(context: typer.Context, as_json: Json = False) -> None:
    """List the models, which one is the champion, and how each comparison ended."""
    if context.invoked_subcommand:
        return
    from learner.catalogue import find_models

    found = find_models(context.obj.models)
    history = _read_history(context.obj)
    if as_json:
        print(json.dumps([_to_json(model, history) for model in found]))
        return
    output = console()
    output.print(_model_table(found, history.champion))
    for reason, names in _optimistic(found).items():
        whose = "its accuracy is" if len(names) == 1 else "their accuracy is"
        print(f"{', '.join(names)}: {whose} {printable(reason)}")
    if history.decisions:
        output.print(_decision_table(history.decisions))
    if history.shadow:
        print(history.shadow)


@models_app.command(epilog=examples("vidwatch models promote auto-2"))
def promote(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.models,
            help='"starter", the name of a model in models/, or a path; '
            "a model that lies elsewhere is copied into models/.",
        ),
    ],
    as_json: JsonResult = False,
) -> None:
    """Make a model the champion, whatever comparisons say."""
    from daemon.training.choosing import promote as promote_model

    home: Home = context.obj
    with database(home) as engine:
        noted = promote_model(engine, home, name, now(), "vidwatch models promote")
    doubt = describe(noted, home.model_or_starter(noted)).guessing_in_words()
    lines = [f"{name} is the champion from now on"]
    if doubt:
        lines.append(f"it is {doubt}: 'vidwatch models rollback' takes that back")
    tell({"champion": noted, "guessing": doubt or None}, lines, as_json=as_json)


@models_app.command(epilog=examples("vidwatch models rollback"))
def rollback(context: typer.Context, as_json: JsonResult = False) -> None:
    """Make the champion before this one the champion again."""
    from daemon.training.choosing import roll_back

    home: Home = context.obj
    with database(home) as engine:
        back, replaced = roll_back(engine, home, now(), "vidwatch models rollback")
    line = f"{back} is the champion from now on, instead of {replaced}"
    tell({"champion": back, "before": replaced}, [line], as_json=as_json)


@app.command(epilog=examples("vidwatch rescore", "vidwatch rescore --model auto-2"))
def rescore(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            autocompletion=completion.models,
            help="The model; the champion if not given.",
        ),
    ] = None,
    device: Device = None,
    as_json: JsonResult = False,
) -> None:
    """Have a later model predict earlier videos. No file is moved.

    Its predictions stand beside the first ones: `vidwatch show` and the page of a clip have them,
    and, if the model is the champion, `vidwatch status` and the lists of clips.
    """
    from daemon.classify.rescoring import rescore as rescore_videos
    from daemon.cli import progress
    from daemon.home.models import require_model
    from learner.process import keep_freed_memory

    keep_freed_memory()
    home: Home = context.obj
    if model:
        require_model(home, model)
    with database(home) as engine, progress.reading() as bar:
        name = model or model_of(home)
        found = rescore_videos(home, engine, name, open_cache(home), now(), bar, device)
    videos = counted(found.predicted, "video")
    lines = [f"{found.model} predicted {videos}; {found.changed} get another class than before"]
    if found.predicted:
        both = "'vidwatch show ID' and the page of a clip have both predictions"
        lines.append(f"{both}; of the champion, 'vidwatch status' and the lists of clips, too")
    if found.model == "starter":
        own = "'vidwatch labels' says what a model of your own waits for"
        lines.append(f"that is the starter, which knows its own ten classes and no other: {own}")
    if found.left_out:
        reason = "their features are gone, and their files are gone, cut short or cannot be read"
        lines.append(f"left out, because {reason}: {counted(found.left_out, 'video')}")
    tell(asdict(found), lines, as_json=as_json)


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
    if not home.has_database():
        return _History()
    from sqlalchemy.exc import OperationalError

    from daemon.database.connection import is_outdated, opened
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
                agreed = f"{same} of {counted(n, 'new clip')} as the champion did"
                shadow = f"{row.challenger} runs in the shadow: it classified {agreed}"
        except OperationalError as error:
            if is_outdated(error):  # no daemon of this version has run here yet
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


def _optimistic(models: "Sequence[Entry]") -> dict[str, list[str]]:
    """Why accuracies are optimistic, and of which models."""
    names: dict[str, list[str]] = defaultdict(list)
    for model in models:
        if model.optimistic:
            names[model.optimistic].append(model.name)
    return names


def _model_table(models: "Sequence[Entry]", champion: str | None) -> Any:
    from daemon.report.fitting import Column, FittingTable

    names = ("", "name", "accuracy on unseen clips", "learned from")
    columns = [*map(Column, names), Column("classes", wraps=True)]
    table = FittingTable("", columns, n_keys=2)
    for model in models:
        mark = "*" if model.name == champion else ""
        problem_or_classes = model.problem or ", ".join(model.classes)
        clips = counted(model.clips, "clip")
        table.add_row(mark, model.name, _accuracy(model), clips, problem_or_classes)
    return table


def _accuracy(model: "Entry") -> str:
    if not model.beats_chance:
        return model.guessing_in_words()
    if model.accuracy is None or not model.interval:
        return "not measured"
    low, high = model.interval
    note = ""
    if model.optimistic or "optimistic" in model.method:
        note = ", optimistic"
    elif "flattering" in model.method:
        note = ", flattering"
    return f"{model.accuracy:.1%} ({low:.1%} to {high:.1%}{note})"


def _decision_table(decisions: "Sequence[DecisionRow]") -> Any:
    from daemon.report.fitting import Column, FittingTable

    names = ("when", "model", "", "against")
    columns = [*map(Column, names), Column("why, and what comes next", wraps=True)]
    table = FittingTable("Decisions", columns, style="bold", n_keys=3)
    for row in decisions:
        before = model_name(row.champion) if row.champion else ""
        why = f"{row.reason} {row.figures.get('next', '')}".strip()
        when = local_time(row.created_at)
        table.add_row(when, model_name(row.challenger), row.outcome, before, why)
    return table

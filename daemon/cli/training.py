"""The commands that train: `train`, `cache`, `retrain`.

Slow imports stand in the commands that need them.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli import torchrun
from daemon.cli.shared import (
    Device,
    EngineKind,
    Json,
    JsonResult,
    Pattern,
    RunsOn,
    command_of,
    database,
    described,
    examples,
    features_by,
    is_running,
    open_cache,
    print_skipped,
    words_given,
)
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.catalogue import describe, weights_path
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern
from learner.texts import counted

if TYPE_CHECKING:
    from learner.catalogue import Entry
    from learner.evaluate import HeadScore, Order
    from learner.recipe import Recipe
    from learner.train import Trained

app = typer.Typer()


class SplitKind(StrEnum):
    """How clips are chosen that the model is tested on."""

    group = "group"
    random = "random"


@app.command(
    epilog=examples(
        "vidwatch train ~/classes --out birds",
        "vidwatch train ~/classes --recipe strong --device cuda",
    )
)
@torchrun.speaking_once()
def train(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder of class folders with clips.")
    ],
    recipe: Annotated[
        str, typer.Option(help="One of `vidwatch recipes`, or the path of a file of that kind.")
    ] = "default",
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="One of timm's image networks, instead of the recipe's; see `vidwatch backbones`.",
        ),
    ] = None,
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
            help='How test clips are chosen: by "group", or at "random" as in the course report, '
            "which flatters the model."
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
        str | None, typer.Option(metavar="MODEL", help="Begin with the weights of this model.")
    ] = None,
    group_pattern: Pattern = GROUP_PATTERN,
    device: Device = None,
    engine: RunsOn = EngineKind.local,
    as_json: JsonResult = False,
) -> None:
    """Train a model on a folder of class folders, and measure it on groups it has not seen."""
    compile_pattern(group_pattern)
    if weights and init_from:
        hint = "give one of them"
        raise VidwatchError(f"train: --weights and --init-from both say what to begin with; {hint}")
    home: Home = context.obj
    chosen = _load_recipe(recipe, epochs, seed, backbone)
    name = _free_name(home, chosen.name) if out is None else out
    out_path = home.model(name)
    from daemon.cli import progress
    from daemon.home import settings
    from learner import distributed
    from learner import train as training
    from learner.process import keep_freed_memory
    from learner.splits import Sources

    keep_freed_memory()
    loaded = settings.load(home.settings)
    sources = Sources(folder, validation, test, group_pattern, split.value)
    start = training.Start(weights, home.model_or_starter(init_from) if init_from else None)
    wanted = device or loaded.device
    with distributed.joined(wanted) as (processes, own_device), _interrupt_explained():
        shown = progress.training(quick=chosen.training.freeze)
        with shown if processes.is_first else nullcontext(training.Watch()) as watch:
            trained = training.train(
                sources,
                out_path,
                chosen,
                start,
                open_cache(home),
                watch,
                device=own_device,
                exact=loaded.exact_frames,
                processes=processes,
                fill=features_by(engine, loaded, chosen),
            )
    if not processes.is_first:
        return
    if as_json:
        print_skipped(trained.skipped)
        print(json.dumps(trained.to_json()))
        return
    _print_measured(trained)
    if chosen.report and not epochs:
        figures = f"{chosen.report.accuracy:.1%}, loss {chosen.report.loss:.3f}"
        print(f"the course report has {figures}, on its own 500 clips, split at random")
    print(f"saved as {trained.path}; {trained.run / 'report.html'} has all figures")
    model = str(trained.path.absolute().with_suffix("")) if "/" in name else name
    for line in next_steps(home, describe(model, trained.path), words_given(context)):
        print(line)


def next_steps(home: Home, model: "Entry", again: Sequence[str]) -> list[str]:
    """What to do with a model that was trained: the last lines of `train`.

    Args:
        home: The home.
        model: The model, by its name in `models/` or its path.
        again: The words of the command that trained it, but for its name.
    """
    if guessing := model.guessing_in_words():
        return [
            f"it is {guessing}: do not use it",
            "instead, put more clips, of several recordings, into each class folder, and then:",
            command_of(home, *again, "--out", _free_name(home, model.name)),
        ]
    if home.has_database():
        return [f"to use it: {command_of(home, 'models', 'promote', model.name)}"]
    return [f"to use it: {command_of(home, 'classify', '--model', model.name)} FILES"]


def _load_recipe(name: str, epochs: int | None, seed: int | None, backbone: str | None) -> "Recipe":
    """The recipe of this name or path, with the values that were given."""
    from learner.recipe import load

    changes = {}
    if epochs is not None:
        changes["epochs"] = epochs
    if seed is not None:
        changes["seed"] = seed
    loaded = load(name).changed(changes)
    if backbone is None:
        return loaded
    from learner.initial import with_backbone

    return with_backbone(loaded, backbone)


def _free_name(home: Home, name: str) -> str:
    """The name or path of a model, with a number if there is such a model already.

    The name of an unfinished run is free: that run is continued.
    """
    free = name
    number = 1
    while weights_path(home.model(free)).exists():
        number += 1
        free = f"{name}-{number}"
    return free


@contextmanager
def _interrupt_explained() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        if not torchrun.is_first():
            raise
        text = "interrupted: the same command continues from the last epoch that was saved"
        print(text, file=sys.stderr)
        raise


def _print_measured(trained: "Trained") -> None:
    print_skipped(trained.skipped)
    print(f"measured {trained.method}")
    print(f"{counted(trained.clips, 'clip')} of {counted(trained.groups, 'group')}")
    print(f"model:    {described(trained.score)}, loss {trained.score.loss:.3f}")
    print(f"baseline: {described(trained.baseline)}, loss {trained.baseline.loss:.3f}")
    for line in order_in_words(trained.order):
        print(line)
    if len(trained.heads) > 1:
        print(f"head: {heads_in_words(trained.heads)}")


def order_in_words(order: "Order") -> list[str]:
    """Whether a model uses the order of the frames, which its baseline knows nothing of."""
    counts = f"right on {counted(order.gains, 'clip')} where that is wrong"
    counts += f", wrong on {counted(order.losses, 'other')}"
    verdict = "beats" if order.beats_baseline else "is not shown to beat"
    of_all = f"{order.changed_backwards} of {counted(order.n, 'clip')}"
    return [
        f"it {verdict} its baseline, which does not know the order of the frames: {counts}",
        f"played backwards, {of_all} get another class",
    ]


def heads_in_words(heads: Sequence["HeadScore"]) -> str:
    """Which heads competed, and how sure the choice is."""
    best, *others = heads
    losses = [
        f"{head.head} (loss {head.loss:.3f}; {head.sure:.0%} sure that it is no better)"
        for head in others
    ]
    return f"{best.head} (loss {best.loss:.3f}) chosen before {', '.join(losses)}"


@app.command(epilog=examples("vidwatch cache", "vidwatch cache --clear"))
def cache(
    context: typer.Context,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
    as_json: Json = False,
) -> None:
    """Show what is kept of clips that were read (frames, features), or clear it."""
    from rich.filesize import decimal

    kept = open_cache(context.obj)
    usage = kept.usage()
    if clear:
        kept.clear()
        if not as_json:
            n = sum(used.entries for used in usage.values())
            print(f"cleared {counted(n, 'entry', 'entries')}")
        usage = kept.usage()
    if as_json:
        kinds = {kind: vars(used) for kind, used in usage.items()}
        print(json.dumps({"folder": str(kept.root), "limit": kept.limit, "kinds": kinds}))
        return
    for kind, used in usage.items():
        print(f"{kind:<9}{used.entries:>8} entries {decimal(used.size):>10}")
    hint = "cache_gigabytes in vidwatch.toml changes that"
    print(f"{kept.root} may grow to {decimal(kept.limit)}: {hint}")


@app.command(epilog=examples("vidwatch retrain"))
def retrain(context: typer.Context) -> None:
    """Ask the daemon to train a new model now, on all labels."""
    from daemon.home import settings
    from daemon.training.retraining import request

    home: Home = context.obj
    with database(home) as engine:
        print(request(engine, home, settings.load(home.settings), now()))
    if not is_running(home):
        print("the daemon is not running: it trains when you start it")

"""The commands that train: `train`, `recipes`, `cache`, `retrain`.

Slow imports stand in the commands that need them.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.cli.shared import (
    Device,
    EngineKind,
    Json,
    Pattern,
    RunsOn,
    command_of,
    console,
    database,
    described,
    features_by,
    open_cache,
    print_skipped,
    words_given,
)
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.catalogue import describe, weights_path
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

if TYPE_CHECKING:
    from learner.catalogue import Entry
    from learner.evaluate import HeadScore, Order
    from learner.recipe import Recipe
    from learner.train import Trained

app = typer.Typer()


# Below the figures of the course report: what is known of them.
REPORT_NOTES = (
    "-as-run: these repeat the steps, the schedule and the choice of weights of the report's "
    "code. They do not repeat its BGR frames normalised as RGB, its choice and resizing of frames, "
    "and its deal of clips to batches.",
    "custom-64, pretrained-64: one line of the report says 64 frames. That is a slip: its code "
    "never took more than 40, and these two took 30 frames of 64x64 pixels.",
    "custom-100-epochs: the report's run may have had three LSTM layers; ours has two.",
)


class SplitKind(StrEnum):
    """How clips are chosen that the model is tested on."""

    group = "group"
    random = "random"


@app.command()
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
    from learner import train as training
    from learner.process import keep_freed_memory
    from learner.splits import Sources

    keep_freed_memory()
    loaded = settings.load(home.settings)
    sources = Sources(folder, validation, test, group_pattern, split.value)
    start = training.Start(weights, home.model_or_starter(init_from) if init_from else None)
    with _interrupt_explained(), progress.training(quick=chosen.training.freeze) as watch:
        trained = training.train(
            sources,
            out_path,
            chosen,
            start,
            open_cache(home),
            watch,
            device=device or loaded.device,
            exact=loaded.exact_frames,
            fill=features_by(engine, loaded, chosen),
        )
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
    if home.database.is_file():
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
        text = "interrupted: the same command continues from the last epoch that was saved"
        print(text, file=sys.stderr)
        raise


def _print_measured(trained: "Trained") -> None:
    print_skipped(trained.skipped)
    print(f"measured {trained.method}")
    print(f"{trained.clips} clips of {trained.groups} groups")
    print(f"model:    {described(trained.score)}, loss {trained.score.loss:.3f}")
    print(f"baseline: {described(trained.baseline)}, loss {trained.baseline.loss:.3f}")
    for line in order_in_words(trained.order):
        print(line)
    if len(trained.heads) > 1:
        print(f"head: {heads_in_words(trained.heads)}")


def order_in_words(order: "Order") -> list[str]:
    """Whether a model uses the order of the frames, which its baseline knows nothing of."""
    counts = f"right on {order.gains} clips where that is wrong, wrong on {order.losses} others"
    verdict = "beats" if order.beats_baseline else "is not shown to beat"
    return [
        f"it {verdict} its baseline, which does not know the order of the frames: {counts}",
        f"played backwards, {order.changed_backwards} of {order.n} clips get another class",
    ]


def heads_in_words(heads: Sequence["HeadScore"]) -> str:
    """Which heads competed, and how sure the choice is."""
    best, *others = heads
    losses = [
        f"{head.head} (loss {head.loss:.3f}; {head.sure:.0%} sure that it is no better)"
        for head in others
    ]
    return f"{best.head} (loss {best.loss:.3f}) chosen before {', '.join(losses)}"


@app.command()
def recipes(as_json: Json = False) -> None:
    """List the recipes that `train` knows, with the figures of the course report."""
    from learner.recipe import load, names

    found = [load(name) for name in names()]
    if as_json:
        print(json.dumps([recipe.to_json() for recipe in found]))
        return
    from rich.text import Text

    from daemon.report.fitting import Column, FittingTable

    figures = (Column(name, justify="right") for name in ("the report's accuracy", "loss"))
    table = FittingTable("", [Column("recipe"), *figures, Column("what", wraps=True)])
    for recipe in found:
        accuracy = f"{recipe.report.accuracy:.2f}" if recipe.report else ""
        loss = f"{recipe.report.loss:.3f}" if recipe.report else ""
        table.add_row(recipe.name, accuracy, loss, recipe.about)
    output = console()
    output.print(table)
    for note in REPORT_NOTES:
        output.print(Text(note))


@app.command()
def backbones(as_json: Json = False) -> None:
    """List the image networks whose weights are on this machine, or would be fetched."""
    from learner.hub import image_networks

    found = image_networks()
    if as_json:
        print(json.dumps([network.to_json() for network in found]))
        return
    from rich.filesize import decimal

    from daemon.report.fitting import Column, FittingTable

    names = ("network", "recipes", "parameters", "pixels", "licence", "weights")
    table = FittingTable("", [Column(name) for name in names])
    for network in found:
        weights = {
            "packaged": "come with vidwatch",
            "cached": f"cached, {decimal(network.size)}",
            "to fetch": f"{decimal(network.size)} to fetch",
        }
        table.add_row(
            network.name,
            _few(network.recipes),
            f"{network.parameters / 1e6:.1f} M" if network.parameters else "?",
            str(network.input_size or "?"),
            network.licence or "?",
            weights[network.weights],
        )
    console().print(table)
    print("`vidwatch train DIR --backbone NAME` takes these, and all other networks of timm")


def _few(names: tuple[str, ...]) -> str:
    """The first name, and how many others there are."""
    if len(names) <= 2:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1} others"


@app.command()
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
            print(f"cleared {sum(used.entries for used in usage.values())} entries")
        usage = kept.usage()
    if as_json:
        kinds = {kind: vars(used) for kind, used in usage.items()}
        print(json.dumps({"folder": str(kept.root), "limit": kept.limit, "kinds": kinds}))
        return
    for kind, used in usage.items():
        print(f"{kind:<9}{used.entries:>8} entries {decimal(used.size):>10}")
    hint = "cache_gigabytes in vidwatch.toml changes that"
    print(f"{kept.root} may grow to {decimal(kept.limit)}: {hint}")


@app.command()
def retrain(context: typer.Context) -> None:
    """Ask the daemon to train a new model now, on all labels."""
    from daemon.home import settings
    from daemon.training.retraining import request

    home: Home = context.obj
    with database(home) as engine:
        print(request(engine, home, settings.load(home.settings), now()))
    if not home.running():
        print("the daemon is not running: it trains when you start it")

"""The commands that train: `train`, `recipes`, `retrain`, `cache`. What is heavy is imported where it runs."""

import json
import sys
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from daemon.cli.shared import Device, Json, Pattern, database, described, open_cache, print_skipped
from daemon.home.clock import now
from daemon.home.folder import Home
from learner.errors import VidwatchError
from learner.groups import GROUP_PATTERN, compile_pattern

app = typer.Typer()


class SplitKind(StrEnum):
    """How clips are kept back."""

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
                open_cache(home),
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
    print_skipped(trained.skipped)
    print(f"measured {trained.method}")
    if trained.groups == trained.clips:
        print(
            "each clip counts as a group of its own: where several show one recording, see --group-pattern, or the"
        )
        print("figures flatter the model")
    else:
        print(f"{trained.clips} clips of {trained.groups} groups")
    print(f"model:                 {described(trained.score)}, loss {trained.score.loss:.3f}")
    print(f"mean-pooling baseline: {described(trained.baseline)}, loss {trained.baseline.loss:.3f}")
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
    print(
        f"{kept.root} may grow to {decimal(kept.limit)}: cache_gigabytes in vidwatch.toml changes that"
    )


def _free_name(home: Home, name: str) -> str:
    """The recipe's name, with a number where there is such a model already; an unfinished run is gone on with."""
    candidates = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(
        free
        for free in candidates
        if not home.model(free).with_name(f"{free}.safetensors").exists()
    )


@app.command()
def retrain(context: typer.Context) -> None:
    """Ask the daemon to train a new model now, on the labels there are."""
    from daemon.home import settings
    from daemon.training.retraining import request

    home: Home = context.obj
    with database(home) as engine:
        print(request(engine, home, settings.load(home.settings), now()))
    if not home.running():
        print("the daemon is not running: it begins when you start it")

"""The commands that list what `train` can train: `recipes`, `backbones`.

Slow imports stand in the commands that need them.
"""

import json

import typer

from daemon.cli.shared import Json, console, examples

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


@app.command(epilog=examples("vidwatch recipes"))
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


@app.command(epilog=examples("vidwatch backbones"))
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

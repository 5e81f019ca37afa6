"""The command that says what runs here: `version`.

Slow imports stand in the commands that need them.
"""

import json
from typing import Any

import typer

from daemon.cli.shared import Json, examples
from daemon.home.texts import printable

app = typer.Typer()


@app.command(epilog=examples("vidwatch version", "vidwatch version --json"))
def version(as_json: Json = False) -> None:
    """Show the versions of vidwatch, its libraries and this machine, for a report of a problem."""
    from daemon.maintenance.versions import read_versions

    found = read_versions()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in _rows(found):
        print(printable(f"{name:<24}{value}"))


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Each line for people. What is not there has none, but for the GPU and CUDA."""
    shown = {
        **found,
        "gpu": ", ".join(found["gpu"]) or "none that the kernel names",
        "cuda": found["cuda"] or "none: PyTorch is built for the processor alone",
        **found["libraries"],
    }
    del shown["libraries"]
    rows = {name.replace("_", " "): value for name, value in shown.items()}
    return [(name, str(value)) for name, value in rows.items() if value is not None]

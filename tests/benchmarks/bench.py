"""One table of every figure against its baseline: `bench.py CLIPS [NAME...]`, as `make bench` calls
it.

CLIPS is a folder of class folders; the names choose among the benchmarks beside this file that have
`rows`.
"""

import importlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

BENCHMARKS = (
    "decode",
    "forward",
    "windows",
    "report",
    "pipeline",
    "feeding",
    "duplicates",
    "training",
    "store",
    "exporting",
    "start",
)


def main() -> None:
    """Run them one after the other, each on its own, and print the table as Markdown."""
    clips, chosen = Path(sys.argv[1]), sys.argv[2:] or BENCHMARKS
    console = Console(width=200)
    table = Table(
        "what",
        "figure",
        "baseline",
        "its figure",
        "ratio",
        "aim",
        "",
        "model",
        "device",
        box=box.MARKDOWN,
    )
    for name in chosen:
        for row in importlib.import_module(name).rows(clips):
            figures = (
                f"{row.value:.4g} {row.unit}",
                row.baseline,
                f"{row.base:.4g} {row.unit}",
                f"{row.ratio:.2f}",
            )
            verdict = "met" if row.is_met else "missed"
            table.add_row(row.what, *figures, row.aim, verdict, row.model, row.device)
            console.print(
                f"{row.what}: {figures[0]}, ratio {row.ratio:.2f} to {row.baseline}",
                highlight=False,
            )
    console.print(f"\n{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores")
    console.print(table)


if __name__ == "__main__":
    main()

"""A pytest plugin: ends a run of the faults with a table of what was tried, against what happened."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PROMISES = Path(__file__).parents[2] / "docs" / "promises.md"
OUTCOMES = {"passed": "kept", "failed": "BROKEN", "skipped": "not tried"}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    table = Table("promise", "fault", "what happened", show_lines=False)
    for promise, fault, happened in sorted(_rows(terminalreporter)):
        style = (
            "bold red"
            if happened.startswith("BROKEN")
            else "yellow"
            if happened.startswith("not")
            else ""
        )
        table.add_row(promise, fault, happened, style=style)
    Console(width=200).print(table)


def _rows(reporter: Any) -> Iterator[tuple[str, str, str]]:
    for outcome, result in OUTCOMES.items():
        for report in reporter.stats.get(outcome, []):
            if outcome == "passed" and report.when != "call":
                continue
            path, _, test = report.nodeid.partition("::")
            why = (
                f": {report.longrepr[2].removeprefix('Skipped: ')}" if outcome == "skipped" else ""
            )
            seen = "; ".join(f"{name} {value}" for name, value in report.user_properties)
            yield (
                _promise(Path(path)),
                _in_words(test),
                result + why + (f" ({seen})" if seen else ""),
            )


def _promise(path: Path) -> str:
    """What the docs say that this file holds us to."""
    rows = [
        line
        for line in PROMISES.read_text().splitlines()
        if line.startswith("|") and f"`{path}`" in line
    ]
    return rows[0].split("|")[1].strip()


def _in_words(test: str) -> str:
    name, _, parameters = test.removeprefix("test_").partition("[")
    return name.replace("_", " ") + (f": {parameters[:-1]}" if parameters else "")

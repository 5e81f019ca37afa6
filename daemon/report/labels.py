"""What `vidwatch labels` shows: tables for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.home.identity import printable
from daemon.labels.quality import Balance, DoubtfulLabel, LabelQuality

SHOWN = 20


def render(found: LabelQuality) -> RenderableType:
    """For a terminal, with what to do."""
    if not found.balance:
        return Text("no labels yet: move clips into labelled/<class>/, or see vidwatch label")
    parts: list[RenderableType] = [_balance_table(found.balance), Text()]
    if found.judge is None:
        parts.append(Text("no training yet that could doubt a label", "dim"))
    title = f"Labels that the training of {found.judge} doubts, the worst first"
    parts += _questions(title, "it says", found.doubted, "yellow")
    parts += _questions("Labelled two ways", "who", found.two_ways, "yellow")
    parts += _questions(
        "Worth a look: other clips of the same recording are labelled otherwise",
        "why",
        found.odd,
        "",
    )
    if found.doubted or found.two_ways or found.odd:
        parts.append(
            Text(
                "vidwatch label ID CLASS says what it is; a label that is said once more is not asked about again"
            )
        )
    else:
        parts.append(Text("no label that should be looked at again", "green"))
    return Group(*parts)


def _balance_table(balance: Sequence[Balance]) -> Table:
    columns = ("class", "clips", "groups", "holdout", "given by", "")
    table = _table("Labelled clips", "bold", *columns)
    for one in balance:
        holdout = f"{one.holdout} clips, {one.holdout_groups} groups" if one.holdout else "none"
        sources = ", ".join(f"{source} {n}" for source, n in one.sources.items())
        name = Text(printable(one.class_name), "bold")
        table.add_row(
            name, str(one.clips), str(one.groups), holdout, sources, Text(one.short or "", "yellow")
        )
    return table


def _questions(
    title: str, column: str, questions: Sequence[DoubtfulLabel], style: str
) -> list[RenderableType]:
    if not questions:
        return []
    more = f", {SHOWN} of {len(questions)}" if len(questions) > SHOWN else ""
    table = _table(title + more, f"bold {style}".strip(), "id", "video", "label", column)
    for one in questions[:SHOWN]:
        shown = (Text(printable(text)) for text in (one.name, one.class_name, one.why))
        table.add_row(str(one.id), *shown)
    return [table, Text()]


def _table(title: str, style: str, *columns: str) -> Table:
    table = Table(
        title=Text(title), title_justify="left", title_style=style, box=None, padding=(0, 2, 0, 0)
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in ("id", "clips", "groups") else "left",
            overflow="fold",
        )
    return table

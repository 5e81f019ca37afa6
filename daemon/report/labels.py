"""What `vidwatch labels` shows: tables for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from daemon.home.texts import printable
from daemon.labels.quality import Balance, DoubtfulLabel, LabelQuality
from daemon.report.next_training import Suggestion

SHOWN = 20  # labels in each table, at most
_NUMBERS = ("id", "clips", "groups")
_ODD = "Worth a look: other clips of the same recording are labelled otherwise"
_HINT = (
    "vidwatch label ID CLASS gives the right class; "
    "a label that is given once more is not shown here again"
)


def render(found: LabelQuality, how_to_begin: str) -> RenderableType:
    """The tables, with what to do; `how_to_begin` is shown if nothing is labelled."""
    if not found.balance:
        return Text(f"no labels yet: {how_to_begin}")
    parts: list[RenderableType] = [_balance_table(found.balance), Text()]
    if found.judge is None:
        parts.append(Text("no training yet that could find errors in the labels", "dim"))
    title = f"Likely label errors, found by the training of {found.judge}, the worst first"
    parts += _label_table(title, "predicted", found.doubted, "yellow")
    parts += _label_table("Labelled with two classes", "by", found.two_ways, "yellow")
    parts += _label_table(_ODD, "why", found.odd, "")
    if found.doubted or found.two_ways or found.odd:
        parts.append(Text(_HINT))
    else:
        parts.append(Text("no label needs to be checked again", "green"))
    return Group(*parts)


def render_suggestions(suggested: Sequence[Suggestion]) -> RenderableType:
    """What the next labels should be of, with how to give them."""
    table = _table("Label next", "bold", "id or class", "why")
    for one in suggested:
        what = str(one.video) if one.class_name is None else printable(one.class_name)
        table.add_row(Text(what, "bold" if one.class_name else ""), Text(one.why))
    parts: list[RenderableType] = [table]
    if any(one.class_name for one in suggested):
        parts.append(Text("put clips of these classes into labelled/<class>/"))
    if any(one.video for one in suggested):
        parts.append(Text("label clips that are here: vidwatch label ID CLASS, or vidwatch review"))
    return Group(*parts, Text())


def _balance_table(balance: Sequence[Balance]) -> Table:
    columns = ("class", "clips", "groups", "holdout", "sources", "")
    table = _table("Labelled clips", "bold", *columns)
    for row in balance:
        holdout = "none"
        if row.holdout:
            holdout = f"{row.holdout} clips, {row.holdout_groups} groups"
        table.add_row(
            Text(printable(row.class_name), "bold"),
            str(row.clips),
            str(row.groups),
            holdout,
            ", ".join(f"{source} {n}" for source, n in row.sources.items()),
            Text(row.short or "", "yellow"),
        )
    return table


def _label_table(
    title: str, last_column: str, found: Sequence[DoubtfulLabel], style: str
) -> list[RenderableType]:
    """A table of labels to check again, and an empty line; nothing if there is no such label."""
    if not found:
        return []
    more = f", {SHOWN} of {len(found)}" if len(found) > SHOWN else ""
    columns = ("id", "video", "label", last_column)
    table = _table(title + more, f"bold {style}".strip(), *columns)
    for label in found[:SHOWN]:
        texts = (label.name, label.class_name, label.why)
        table.add_row(str(label.id), *(Text(printable(text)) for text in texts))
    return [table, Text()]


def _table(title: str, style: str, *columns: str) -> Table:
    table = Table(
        title=Text(title),
        title_justify="left",
        title_style=style,
        box=None,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        is_number = column in _NUMBERS
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    return table

"""What `vidwatch labels` shows: tables for a terminal."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from daemon.home.texts import printable
from daemon.labels.balance import Balance
from daemon.labels.quality import DoubtfulLabel, LabelQuality
from daemon.labels.still import StillVideo
from daemon.report.fitting import Column, FittingTable
from daemon.report.next_training import Suggestion
from learner.classes import EMPTY
from learner.texts import counted

SHOWN = 20  # labels in each table, at most
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
    table = FittingTable(
        "Label next", [Column("id or class"), Column("why", wraps=True)], style="bold"
    )
    for one in suggested:
        what = str(one.video) if one.class_name is None else printable(one.class_name)
        table.add_row(Text(what, "bold" if one.class_name else ""), one.why)
    parts: list[RenderableType] = [table]
    if any(one.class_name for one in suggested):
        parts.append(Text("put clips of these classes into labelled/<class>/"))
    if any(one.video for one in suggested):
        parts.append(Text("label clips that are here: vidwatch label ID CLASS, or vidwatch review"))
    return Group(*parts, Text())


def render_still(found: Sequence[StillVideo]) -> RenderableType:
    """The videos in which least moves, with how to label those that are empty."""
    if not found:
        return Text("no video without a label whose movement was measured")
    columns = (
        Column("id", justify="right"),
        Column("video"),
        Column("class", "bold"),
        Column("probability", justify="right"),
        Column("changes", justify="right"),
    )
    title = "Least movement: the share of the picture that changes"
    table = FittingTable(title, columns, style="bold", n_keys=2)
    for video in found:
        table.add_row(
            str(video.id),
            printable(video.name),
            printable(video.predicted),
            f"{video.probability:.1%}",
            f"{video.movement:.1%}",
        )
    return Group(table, Text(f"if nothing is there: vidwatch label ID… {EMPTY}"))


def _balance_table(balance: Sequence[Balance]) -> FittingTable:
    has_parts = any(row.parts for row in balance)  # of long videos; most homes have none
    columns = (
        Column("class", "bold"),
        Column("clips", justify="right"),
        *([Column("parts", justify="right")] if has_parts else []),
        Column("groups", justify="right"),
        Column("holdout"),
        Column("sources"),
        Column("", "yellow", wraps=True),
    )
    table = FittingTable("Labelled clips", columns, style="bold")
    for row in balance:
        holdout = "none"
        if row.holdout:
            groups = counted(row.holdout_groups, "group")
            holdout = f"{counted(row.holdout, 'clip')}, {groups}"
        sources = ", ".join(f"{source} {n}" for source, n in row.sources.items())
        parts = [str(row.parts)] if has_parts else []
        counts = (str(row.clips), *parts, str(row.groups))
        table.add_row(row.class_name, *counts, holdout, sources, row.short or "")
    return table


def _label_table(
    title: str, last_column: str, found: Sequence[DoubtfulLabel], style: str
) -> list[RenderableType]:
    """A table of labels to check again, and an empty line; nothing if there is no such label."""
    if not found:
        return []
    more = f", {SHOWN} of {len(found)}" if len(found) > SHOWN else ""
    columns = (
        Column("id", justify="right"),
        Column("video"),
        Column("label"),
        Column(last_column, wraps=True),
    )
    table = FittingTable(title + more, columns, style=f"bold {style}".strip(), n_keys=2)
    for label in found[:SHOWN]:
        table.add_row(str(label.id), label.name, label.class_name, label.why)
    return [table, Text()]

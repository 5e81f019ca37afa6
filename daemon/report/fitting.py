"""Tables that fit: what does not fit beside the rest stands below its row, and nothing is cut.

Written here, since rich itself cuts cells, or tears all columns of a table that is too wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from daemon.home.texts import printable

GAP = 2  # cells between two columns
INDENT = 4  # cells before what stands below its row
LEAST = 24  # cells for a text that may be wrapped
ALIGNED = 200  # cells: the columns of a wider table, as in a pipe, are aligned as far as `PADDED`
PADDED = 40  # cells of a column


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    name: str = ""
    style: str = ""
    justify: Literal["left", "right"] = "left"
    wraps: bool = False
    """Whether its texts are sentences, which are wrapped. Others stay whole."""


class FittingTable:
    """A table for a terminal of any width, or for a pipe.

    The first columns say which row it is. The first of the others that does not fit, and all after
    it, stand below their row, without their names. If not even the first ones fit, their texts
    are continued on the next line.
    """

    def __init__(self, title: str, columns: Sequence[Column], *, style: str = "", n_keys: int = 1):
        """A table without rows.

        Args:
            title: Stands above it; empty for none.
            columns: Its columns.
            style: Of the title.
            n_keys: How many of the first columns say which row it is.
        """
        self._title = title
        self._style = style
        self._columns = columns
        self._n_keys = n_keys
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row with a cell for each column. A text of unknown origin is escaped."""
        columns = zip(cells, self._columns, strict=True)
        self._rows.append(
            [
                cell if isinstance(cell, Text) else Text(printable(cell), column.style)
                for cell, column in columns
            ]
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield Text(printable(self._title), self._style, overflow="fold")
        widths = self._widths()
        total = sum(widths) + GAP * (len(widths) - 1)
        if total <= options.max_width:
            names = [Text(column.name, "bold") for column in self._columns]
            most = total if total <= ALIGNED else PADDED
            for row in (names, *self._rows):
                yield self._whole(row, [min(width, most) for width in widths])
            return
        n_fitting = self._n_fitting(widths, options.max_width)
        if n_fitting == len(self._columns):
            yield self._table()
            return
        yield self._line([Text(column.name, "bold") for column in self._columns], n_fitting, widths)
        for row in self._rows:
            yield self._line(row, n_fitting, widths)
            if below := [cell for cell in row[n_fitting:] if cell]:
                text = Text(", ", overflow="fold").join(below)
                yield Padding(text, (0, 0, 0, INDENT), expand=False)

    def _widths(self) -> list[int]:
        """How wide each column is if nothing of it is wrapped."""
        names = [Text(column.name) for column in self._columns]
        return [
            max(cell.cell_len for cell in cells) for cells in zip(names, *self._rows, strict=True)
        ]

    def _n_fitting(self, widths: Sequence[int], room: int) -> int:
        """How many of the first columns fit beside each other; those that identify, at least."""
        used = -GAP
        for n, (column, width) in enumerate(zip(self._columns, widths, strict=True)):
            used += GAP + (min(width, LEAST) if column.wraps else width)
            if used > room:
                return max(n, self._n_keys)
        return len(self._columns)

    def _whole(self, row: Sequence[Text], widths: Sequence[int]) -> Text:
        """A row in one line, without spaces at its end."""
        line = Text(no_wrap=True)
        for cell, column, width in zip(row, self._columns, widths, strict=True):
            pad = " " * (width - cell.cell_len)
            line.append_text(Text(pad) + cell if column.justify == "right" else cell + Text(pad))
            line.append(" " * GAP)
        line.rstrip()
        return line

    def _table(self) -> RenderableType:
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False)
        for column in self._columns:
            table.add_column(
                Text(column.name),
                justify=column.justify,
                no_wrap=not column.wraps,
                overflow="fold",
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _line(self, row: Sequence[Text], n: int, widths: Sequence[int]) -> RenderableType:
        """The first cells of a row, in their columns. Only the last one may be continued."""
        line = Table.grid(padding=(0, GAP, 0, 0))
        for column, width in zip(self._columns[: n - 1], widths, strict=False):
            line.add_column(width=width, justify=column.justify, no_wrap=True)
        line.add_column(overflow="fold")
        line.add_row(*row[:n])
        return line


class Facts:
    """Names, and beside each what is to be said of it; in a frame if there is a title.

    In a pipe there is no frame, and no spaces at the end of a line: the longest text would make all
    lines as long as itself.
    """

    def __init__(self, title: str = ""):
        """Nothing is said yet."""
        self._title = title
        self._rows: list[tuple[str, Text]] = []

    def add_row(self, name: str, text: str | Text) -> None:
        """Add a text; the name is empty if it belongs to the one before."""
        self._rows.append((name, Text(text) if isinstance(text, str) else text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.is_terminal:
            yield self._framed()
            return
        width = max((cell_len(name) for name, _ in self._rows), default=0)
        for name, text in self._rows:
            yield Text(f"{name:<{width + GAP}}", overflow="fold") + text

    def _framed(self) -> RenderableType:
        grid = Table.grid(padding=(0, GAP))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in self._rows:
            grid.add_row(name, text)
        if not self._title:
            return grid
        return Panel(grid, title=self._title, title_align="left", expand=False)

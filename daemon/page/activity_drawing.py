"""Draws activity: classes over time, by hour and weekday, by source. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from daemon.export.filters import HERE
from daemon.page.charts import COLOURS, Block, Sector, rose, shade, stacks
from daemon.report.activity import UNSURE, By, Slot, begin_of, most_common

MOST_COLUMNS = 60  # of the chart of classes over time
MOST_SOURCES = 40
LANE_WIDTH = 500  # marks that a lane has place for
OTHERS = "_others"
UNSURE_KIND = "_unsure"
"""No class of a person has such a name."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = [f"{hour:02}" for hour in range(24)]


@dataclass(frozen=True)
class Cell:
    """A figure of a table, and how dark it is."""

    n: int
    shade: int
    query: str
    """The clips it counts, as the query of `/clips`."""


@dataclass(frozen=True)
class Grid:
    """Figures by two properties."""

    title: str
    corner: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Mark:
    """Videos of one source within a short time."""

    x: float
    colour: str
    words: str
    query: str


@dataclass(frozen=True)
class Asked:
    """What the address asks for."""

    span: str
    by: By
    first: date
    last: date
    class_name: str = ""
    """Empty for all classes."""
    source: str | None = None
    """None for all sources."""

    @property
    def days(self) -> int:
        """How many days are shown."""
        return (self.last - self.first).days + 1

    @property
    def step(self) -> int:
        """How many days a column has: 1, 7, or 30 for a month."""
        return next((step for step in (1, 7) if self.days <= step * MOST_COLUMNS), 30)

    def query(self, **more: Any) -> str:
        """The clips with some more properties, as the query of `/clips`."""
        fields = {"from": self.first, "to": self.last, "class": self.class_name}
        fields |= {"source": _source(self.source), "by": "arrived" if self.by == "came" else ""}
        return urlencode({name: value for name, value in {**fields, **more}.items() if value != ""})


@dataclass(frozen=True)
class Shown:
    """The pictures of the page."""

    kinds: list[str]
    """The classes that have a colour, the commonest first; then others and unsure."""
    columns: list[tuple[str, Counter[str], str]]
    """Of the chart of classes over time: the day it begins, its figures, and its clips."""
    colours: dict[str, str]
    """Of the kinds."""
    blocks: list[tuple[Block, str, str, str]]
    """With colour, words and query."""
    grids: dict[str, Grid]
    day: list[Sector]
    lanes: list[tuple[str, list[Mark]]]
    """The sources, and when each recorded."""


def draw(slots: Sequence[Slot], asked: Asked) -> Shown:
    """The pictures of these figures."""
    common = most_common(slots, COLOURS)
    kinds = [*common, OTHERS, UNSURE_KIND]
    colours = {kind: f"k{place}" for place, kind in enumerate(common)}
    colours |= {OTHERS: "others", UNSURE_KIND: "unsure"}

    def kind_of(slot: Slot) -> str:
        if slot.class_name == UNSURE:
            return UNSURE_KIND
        return slot.class_name if slot.class_name in colours else OTHERS

    columns = _columns(slots, asked, kind_of)
    kinds = [kind for kind in kinds if any(n[kind] for _, n, _ in columns)]
    blocks = []
    for block in stacks([n for _, n, _ in columns], kinds):
        begin, _, query = columns[int(block.x)]
        words = f"{begin}: {shown_kind(block.kind)} {block.n:,.0f}"
        blocks.append((block, colours[block.kind], words, _with_kind(query, block.kind)))
    names = [*most_common(slots, 50), UNSURE]
    sources = _most(slots, lambda slot: slot.source, MOST_SOURCES)
    grids = {
        "weekday": _grid(
            "Hour by weekday", "weekday", slots, asked, DAYS, HOURS, _weekday_and_hour
        ),
        "hour": _grid("Class by hour", "class", slots, asked, names, HOURS, _class_and_hour),
        "source": _grid(
            "Source by class", "source", slots, asked, sources, names, _source_and_class
        ),
    }
    by_hour = Counter[int]()
    for slot in slots:
        by_hour[slot.at.hour] += slot.n
    day = rose([by_hour[hour] for hour in range(24)])
    lanes = _lanes(slots, asked, sources, colours, kind_of)
    return Shown(kinds, columns, colours, blocks, grids, day, lanes)


def _columns(
    slots: Iterable[Slot], asked: Asked, kind_of: Callable[[Slot], str]
) -> list[tuple[str, Counter[str], str]]:
    """The columns of the chart of classes over time, also those without a video."""
    figures: dict[date, Counter[str]] = {}
    day = begin_of(asked.first, asked.step)
    while day <= asked.last:
        figures[day] = Counter()
        day = _next(day, asked.step)
    for slot in slots:
        figures[begin_of(slot.at.date(), asked.step)][kind_of(slot)] += slot.n
    return [
        (
            begin.isoformat(),
            n,
            asked.query(**{"from": begin, "to": _next(begin, asked.step) - timedelta(days=1)}),
        )
        for begin, n in figures.items()
    ]


def shown_kind(kind: str) -> str:
    """The name of a kind for people."""
    return {OTHERS: "other classes", UNSURE_KIND: "unsure"}.get(kind, kind)


def _next(begin: date, step: int) -> date:
    """The begin of the next column."""
    return begin + timedelta(days=step) if step < 30 else begin_of(begin + timedelta(days=31), 30)


def _with_kind(query: str, kind: str) -> str:
    """The clips of one kind; those of other classes cannot be asked for together."""
    return query if kind == OTHERS else f"{query}&{urlencode({'class': kind})}"


def _weekday_and_hour(slot: Slot) -> tuple[str, str]:
    return DAYS[slot.at.weekday()], HOURS[slot.at.hour]


def _class_and_hour(slot: Slot) -> tuple[str, str]:
    return slot.class_name, HOURS[slot.at.hour]


def _source_and_class(slot: Slot) -> tuple[str, str]:
    return slot.source, slot.class_name


def _grid(
    title: str,
    corner: str,
    slots: Iterable[Slot],
    asked: Asked,
    rows: Sequence[str],
    columns: Sequence[str],
    place: Callable[[Slot], tuple[str, str]],
) -> Grid:
    """The figures by two properties of the slots, which `place` gives."""
    n = Counter[tuple[str, str]]()
    for slot in slots:
        n[place(slot)] += slot.n
    most = max([*(n[row, column] for row in rows for column in columns), 1])
    fields = {"weekday": ("weekday", "hour"), "class": ("class", "hour")}
    of_row, of_column = fields.get(corner, ("source", "class"))

    def cell(row: str, column: str) -> Cell:
        more = {of_row: _value(of_row, row), of_column: _value(of_column, column)}
        return Cell(n[row, column], shade(n[row, column], most), asked.query(**more))

    def named(field_name: str, value: str) -> str:
        empty = shown_kind(UNSURE_KIND) if field_name == "class" else "inbox"
        return value or empty

    return Grid(
        title,
        corner,
        [named(of_column, column) for column in columns],
        [(named(of_row, row), [cell(row, column) for column in columns]) for row in rows],
    )


def _value(name: str, value: str) -> str:
    """The value of a property in the query of `/clips`."""
    if name == "class":
        return value or UNSURE_KIND
    if name == "source":
        return _source(value)
    return str(DAYS.index(value)) if name == "weekday" else value


def _source(source: str | None) -> str:
    """A source in the query of `/clips`; empty for all."""
    return "" if source is None else source or HERE


def _most(slots: Iterable[Slot], key: Callable[[Slot], str], most: int) -> list[str]:
    n = Counter[str]()
    for slot in slots:
        n[key(slot)] += slot.n
    return sorted(name for name, _ in n.most_common(most))


def _lanes(
    slots: Iterable[Slot],
    asked: Asked,
    sources: Sequence[str],
    colours: dict[str, str],
    kind_of: Callable[[Slot], str],
) -> list[tuple[str, list[Mark]]]:
    """A lane for each source: a mark for each short time in which it recorded, by its main kind."""
    seconds = asked.days * 86_400 / LANE_WIDTH
    places: dict[str, dict[int, Counter[str]]] = {source: {} for source in sources}
    for slot in slots:
        day = (slot.at.date() - asked.first).days
        passed = day * 86_400 + slot.at.hour * 3600 + slot.at.minute * 60
        if slot.source in places:
            lane = places[slot.source].setdefault(int(passed // seconds), Counter())
            lane[kind_of(slot)] += slot.n
    lanes = []
    for source, found in places.items():
        marks = []
        for place, n in sorted(found.items()):
            when = asked.first + timedelta(days=int(place * seconds // 86_400))
            words = ", ".join(f"{shown_kind(kind)} {count:,}" for kind, count in n.most_common())
            query = asked.query(source=_source(source), **{"from": when, "to": when})
            main = n.most_common(1)[0][0]
            marks.append(Mark(place, colours[main], f"{when}: {words}", query))
        lanes.append((source or "inbox", marks))
    return lanes

"""Places figures as marks of SVG pictures that templates draw. Pure.

Colours are names of the style sheet's classes, so that dark pages have their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

SPARK_WIDTH = 120.0  # in units of the picture, as all lengths here
SPARK_HEIGHT = 28.0
COLOURS = 8  # there are no more that people with every kind of colour vision can tell apart
HEIGHT = 100.0  # of a chart of bars
GAP = 0.15  # of a bar's place
SHADES = 5  # of a heat map; a sixth is for nothing


def spark(values: Sequence[float], width: float = SPARK_WIDTH, height: float = SPARK_HEIGHT) -> str:
    """The points of a small line through values, from zero at the bottom to their largest."""
    most = max([*values, 1.0])
    step = width / max(len(values) - 1, 1)
    places = (f"{n * step:.1f},{height * (1 - value / most):.1f}" for n, value in enumerate(values))
    return " ".join(places)


@dataclass(frozen=True)
class Block:
    """A part of a bar, or a bar: of one kind."""

    kind: str
    n: float
    x: float
    y: float
    """Counts from the top."""
    width: float
    height: float


def stacks(columns: Sequence[Mapping[str, float]], kinds: Sequence[str]) -> list[Block]:
    """A bar for each column, in which the kinds lie above each other, the first one lowest.

    A column is one unit wide and the highest bar is `HEIGHT` high. What is zero has no block.
    """
    most = max([*(sum(column.values()) for column in columns), 1.0])
    blocks = []
    for place, column in enumerate(columns):
        top = HEIGHT
        for kind in kinds:
            if n := column.get(kind, 0):
                height = HEIGHT * n / most
                top -= height
                blocks.append(Block(kind, n, place + GAP / 2, top, 1 - GAP, height))
    return blocks


def shade(n: float, most: float) -> int:
    """How dark a cell of a heat map is, from 0 for nothing to `SHADES` for the largest figure."""
    return 0 if not n else 1 + min(int(SHADES * n / most), SHADES - 1)


@dataclass(frozen=True)
class Sector:
    """An hour of a round day: its length shows the figure."""

    place: int
    n: float
    path: str
    """As SVG, around the middle (0, 0); the first one begins at the top, and they go clockwise."""


def rose(values: Sequence[float], radius: float = 100.0) -> list[Sector]:
    """A sector for each value; the area, not the radius, is proportional to it.

    Source: Nightingale, 1858, the coxcomb: figures would look squared if the radius showed them.
    """
    most = max([*values, 1.0])
    turn = 2 * pi / len(values)
    sectors = []
    for place, value in enumerate(values):
        length = radius * (value / most) ** 0.5
        (x1, y1), (x2, y2) = (_point(turn * (place + part), length) for part in (0.04, 0.96))
        path = f"M0 0L{x1:.1f} {y1:.1f}A{length:.1f} {length:.1f} 0 0 1 {x2:.1f} {y2:.1f}Z"
        sectors.append(Sector(place, value, path))
    return sectors


def _point(angle: float, length: float) -> tuple[float, float]:
    """Where a line of this length ends that has this angle to the line upwards, clockwise."""
    return length * sin(angle), -length * cos(angle)

"""Places evidence as bars that a template draws. Pure.

A bar goes up if its frame speaks more for the class than the clip as a whole, and down if less.
"""

from dataclasses import dataclass
from statistics import fmean

from daemon.page.pictures import Evidence, StepMeaning

# In units of the picture.
WIDTH = 10.0  # of a bar with its gap
HEIGHT = 40.0  # of a row
GAP = 1.0


@dataclass(frozen=True)
class Bar:
    """One step of the clip."""

    step: int
    """Counts from 1."""
    value: float
    is_for: bool
    """Whether it speaks more for the class than the clip as a whole."""
    x: float
    y: float
    """Counts from the top."""
    height: float


@dataclass(frozen=True)
class Row:
    """One class."""

    class_name: str
    logit: float
    bars: list[Bar]
    words: str
    """What the bars show, for a screen reader."""


@dataclass(frozen=True)
class Drawing:
    """All rows, on one scale."""

    model: str
    rows: list[Row]
    width: float
    """Of each row."""
    height: float
    """Of each row."""
    zero: float
    """Where bars begin, counted from the top of a row."""
    bar: float
    """The width of each bar."""
    step_meaning: StepMeaning
    """See `Evidence`."""


def draw(evidence: Evidence) -> Drawing:
    """Place the bars."""
    # All values of a class are often alike: only less their mean they tell the frames apart.
    rows = [(name, logit, steps, fmean(steps)) for name, logit, steps in evidence.rows]
    values = [value - mean for _, _, steps, mean in rows for value in steps]
    highest = max(0.0, *values)
    lowest = min(0.0, *values)
    unit = HEIGHT / ((highest - lowest) or 1.0)
    zero = highest * unit
    return Drawing(
        model=evidence.model,
        rows=[
            Row(name, logit, _bars(steps, mean, unit, zero), _words(name, steps))
            for name, logit, steps, mean in rows
        ],
        width=WIDTH * len(evidence.rows[0][2]),
        height=HEIGHT,
        zero=zero,
        bar=WIDTH - GAP,
        step_meaning=evidence.step_meaning,
    )


def _bars(steps: list[float], mean: float, unit: float, zero: float) -> list[Bar]:
    return [
        Bar(
            step=i + 1,
            value=value,
            is_for=value >= mean,
            x=i * WIDTH + GAP / 2,
            y=zero - max(value - mean, 0.0) * unit,
            height=abs(value - mean) * unit,
        )
        for i, value in enumerate(steps)
    ]


def _words(name: str, steps: list[float]) -> str:
    most = max(steps)
    least = min(steps)
    highest = f"highest at step {steps.index(most) + 1} ({most:+.1f})"
    lowest = f"lowest at step {steps.index(least) + 1} ({least:+.1f})"
    return f"{name}, {len(steps)} steps: {highest}, {lowest}"

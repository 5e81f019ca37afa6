"""Evidence as bars that a template draws: up for a class, down against it. Pure."""

from dataclasses import dataclass

from daemon.review.clips import Evidence

WIDTH, HEIGHT, GAP = 10.0, 40.0, 1.0  # of a bar with its gap, and of a row, in units of the picture


@dataclass(frozen=True)
class Bar:
    """One step of the clip; `y` counts from the top."""

    step: int
    value: float
    x: float
    y: float
    height: float

    @property
    def is_for(self) -> bool:
        """Whether it speaks for the class."""
        return self.value >= 0


@dataclass(frozen=True)
class Row:
    """One class; `words` say what the bars show."""

    class_name: str
    logit: float
    bars: list[Bar]
    words: str


@dataclass(frozen=True)
class Drawing:
    """All rows, on one scale. `zero` is where bars begin, `width` and `height` are a row's."""

    model: str
    rows: list[Row]
    width: float
    height: float
    zero: float
    bar: float
    means: str


def draw(evidence: Evidence) -> Drawing:
    """Place the bars."""
    values = [value for _, _, steps in evidence.rows for value in steps]
    highest, lowest = max(0.0, *values), min(0.0, *values)
    unit = HEIGHT / ((highest - lowest) or 1.0)
    zero = highest * unit
    rows = [
        Row(name, logit, _bars(steps, unit, zero), _words(name, steps))
        for name, logit, steps in evidence.rows
    ]
    width = WIDTH * len(evidence.rows[0][2])
    return Drawing(evidence.model, rows, width, HEIGHT, zero, WIDTH - GAP, evidence.means)


def _bars(steps: list[float], unit: float, zero: float) -> list[Bar]:
    return [
        Bar(i + 1, value, i * WIDTH + GAP / 2, zero - max(value, 0.0) * unit, abs(value) * unit)
        for i, value in enumerate(steps)
    ]


def _words(name: str, steps: list[float]) -> str:
    most, least = max(steps), min(steps)
    ends = f"most for it at {steps.index(most) + 1} ({most:+.1f}), least at {steps.index(least) + 1} ({least:+.1f})"
    return f"{name}, step by step of {len(steps)}: {ends}"

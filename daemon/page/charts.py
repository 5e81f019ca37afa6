"""Places figures as marks of SVG pictures that templates draw. Pure."""

from collections.abc import Sequence

SPARK_WIDTH = 120.0  # in units of the picture
SPARK_HEIGHT = 28.0


def spark(values: Sequence[float], width: float = SPARK_WIDTH, height: float = SPARK_HEIGHT) -> str:
    """The points of a small line through values, from zero at the bottom to their largest."""
    most = max(*values, 1.0) if len(values) > 1 else max(1.0, *values)
    step = width / max(len(values) - 1, 1)
    places = (f"{n * step:.1f},{height * (1 - value / most):.1f}" for n, value in enumerate(values))
    return " ".join(places)

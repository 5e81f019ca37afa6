"""Draws the clips of the tour: two seconds of moving shapes, each clip before its own background.

Knows nothing of homes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

Array = np.ndarray[Any, Any]
Generator = np.random.Generator

WIDTH, HEIGHT = 192, 144
RATE = 25
FRAMES = 2 * RATE
SHIFT = 3  # bits of a pixel's fraction, as OpenCV draws it


def write_clip(path: Path, kind: str, number: int) -> None:
    """Write a clip, at once under its name. The same kind and number give the same frames.

    Args:
        path: An MP4 file; its folder has to exist.
        kind: One of `KINDS`.
        number: Which clip of this kind; another one has other places, speeds and colours.
    """
    draw = np.random.default_rng((list(KINDS).index(kind), number))
    made = path.with_name(f".{path.name}.part")  # a daemon leaves this name alone
    with av.open(str(made), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width = WIDTH
        stream.height = HEIGHT
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 1_000_000
        for picture in _pictures(kind, draw):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    made.rename(path)


def _pictures(kind: str, draw: Generator) -> Iterator[Array]:
    """`FRAMES` pictures, `(HEIGHT, WIDTH, 3)` uint8 RGB each."""
    background = _background(draw)
    paint = KINDS[kind](draw)
    for index in range(FRAMES):
        picture = background.copy()
        paint(picture, index / RATE)
        noise = draw.normal(0, 3, picture.shape)
        yield (picture + noise).clip(0, 255).astype(np.uint8)


def _background(draw: Generator) -> Array:
    """A soft pattern in a colour of its own."""
    coarse = draw.normal(0, 12, (5, 6, 3)).astype(np.float32)
    pattern = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    shaded = pattern + draw.uniform(50, 140, 3).astype(np.float32)
    return shaded.clip(0, 255).astype(np.uint8)


Paint = Callable[[Array, float], None]


def _balls(draw: Generator) -> Paint:
    """Balls that fly and bounce off the edges."""
    count = int(draw.integers(2, 5))
    places = draw.uniform(0, 1, (count, 2))
    speeds = draw.uniform(0.3, 0.9, (count, 2)) * draw.choice((-1, 1), (count, 2))
    radii = draw.uniform(11, 20, count)
    colours = draw.uniform(150, 255, (count, 3))

    def paint(picture: Array, seconds: float) -> None:
        for place, speed, radius, colour in zip(places, speeds, radii, colours, strict=True):
            x, y = _bounced(place + speed * seconds) * (WIDTH, HEIGHT)
            _circle(picture, (x, y), radius, colour)

    return paint


def _boxes(draw: Generator) -> Paint:
    """Boxes on a belt, one after the other, with lids of another colour."""
    y = draw.uniform(0.45, 0.75) * HEIGHT
    side = draw.uniform(26, 38)
    gap = side * draw.uniform(1.5, 2.2)
    speed = draw.uniform(25, 70) * draw.choice((-1, 1))
    colour = draw.uniform(120, 230, 3)
    lid = draw.uniform(0, 110, 3)

    def paint(picture: Array, seconds: float) -> None:
        _rectangle(picture, (0, y + side), (WIDTH, y + side + 8), (30, 30, 30))
        begin = (speed * seconds) % gap - gap
        for x in np.arange(begin, WIDTH + gap, gap):
            _rectangle(picture, (x, y), (x + side, y + side), colour)
            _rectangle(picture, (x, y), (x + side, y + side / 4), lid)

    return paint


def _rain(draw: Generator) -> Paint:
    """Many thin streaks that fall."""
    count = int(draw.integers(50, 90))
    places = draw.uniform(0, 1, (count, 2))
    speeds = draw.uniform(1.0, 1.8, count)
    slant = draw.uniform(-6, 6)
    length = draw.uniform(9, 16)
    colour = draw.uniform(170, 255, 3)

    def paint(picture: Array, seconds: float) -> None:
        for (x, y), speed in zip(places, speeds, strict=True):
            top = ((y + speed * seconds) % 1) * HEIGHT
            begin = _fixed((x * WIDTH, top))
            end = _fixed((x * WIDTH + slant, top + length))
            cv2.line(picture, begin, end, colour.tolist(), 1, cv2.LINE_AA, SHIFT)

    return paint


KINDS: dict[str, Callable[[Generator], Paint]] = {"Balls": _balls, "Boxes": _boxes, "Rain": _rain}


def _bounced(place: Array) -> Array:
    """Places that went on straight, folded back into 0 to 1."""
    folded: Array = 1 - np.abs(place % 2 - 1)
    return folded


def _circle(picture: Array, centre: tuple[float, float], radius: float, colour: Array) -> None:
    size = round(radius * 2**SHIFT)
    cv2.circle(picture, _fixed(centre), size, colour.tolist(), -1, cv2.LINE_AA, SHIFT)


def _rectangle(
    picture: Array, begin: tuple[float, float], end: tuple[float, float], colour: Any
) -> None:
    shade = [float(value) for value in colour]
    cv2.rectangle(picture, _fixed(begin), _fixed(end), shade, -1, cv2.LINE_AA, SHIFT)


def _fixed(point: tuple[float, float]) -> tuple[int, int]:
    """A point in pixels as OpenCV takes it with `SHIFT`."""
    return round(float(point[0]) * 2**SHIFT), round(float(point[1]) * 2**SHIFT)

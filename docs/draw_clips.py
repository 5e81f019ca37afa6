"""Draws clips as a camera in a meadow would record them: deer, birds and cars.

They are for the pictures of the docs and for trying their commands; no clip of a person is needed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, Any]
Generator = np.random.Generator
Paint = Callable[[Image, float], None]

WIDTH, HEIGHT, RATE, FRAMES = 320, 240, 12, 30
GROUND = 150  # the row in which the meadow begins


def write_clip(path: Path, kind: str, number: int) -> None:
    """Write a clip (MP4, 2.5 s). The same kind and number give the same frames.

    Args:
        path: The file; its folder is made.
        kind: One of `KINDS`.
        number: Which clip of this kind: light, places, sizes and speeds differ.
    """
    draw = np.random.default_rng((sorted(KINDS).index(kind), number))
    scene = _scene(draw)
    paint = KINDS[kind](draw)
    path.parent.mkdir(parents=True, exist_ok=True)
    size = (WIDTH, HEIGHT)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, size)
    for index in range(FRAMES):
        picture = scene.copy()
        paint(picture, index / (FRAMES - 1))
        noisy = picture + draw.normal(0, 4, picture.shape)
        writer.write(noisy.clip(0, 255).astype(np.uint8))
    writer.release()


def _scene(draw: Generator) -> Image:
    """Sky, meadow and trees, `(HEIGHT, WIDTH, 3)` uint8 BGR, at some hour of the day."""
    light = draw.uniform(0.55, 1.0)
    rows = np.linspace(0, 1, HEIGHT)[:, None]
    sky = np.array([235, 205, 170]) * (1 - rows) + np.array([225, 225, 215]) * rows
    picture = np.repeat(sky[:, None, :].reshape(HEIGHT, 1, 3), WIDTH, axis=1)
    grass = np.array([60, 125, 95]) + draw.normal(0, 10, 3)
    texture = cv2.resize(draw.normal(0, 14, (30, 40)), (WIDTH, HEIGHT - GROUND))
    picture[GROUND:] = grass + texture[:, :, None]
    image: Image = picture.clip(0, 255).astype(np.uint8)
    for x in draw.uniform(0, WIDTH, int(draw.integers(3, 7))):
        _tree(image, int(x), draw)
    return (image * light).astype(np.uint8)


def _tree(image: Image, x: int, draw: Generator) -> None:
    top = int(draw.uniform(50, 100))
    foot = GROUND + int(draw.uniform(0, 12))
    cv2.rectangle(image, (x - 3, top), (x + 3, foot), (45, 65, 85), -1)
    for _ in range(9):
        centre = (x + int(draw.normal(0, 13)), top + int(draw.normal(0, 15)))
        shade = int(draw.uniform(60, 110))
        cv2.circle(image, centre, int(draw.uniform(9, 18)), (50, shade, 60), -1, cv2.LINE_AA)


def _way(draw: Generator) -> tuple[float, float, int]:
    """Where something is at the begin and at the end, and which way it looks."""
    facing = int(draw.choice((-1, 1)))
    begin = draw.uniform(0.0, 0.25)
    end = begin + draw.uniform(0.35, 0.7)
    return (begin, end, 1) if facing > 0 else (1 - begin, 1 - end, -1)


def _deer(draw: Generator) -> Paint:
    begin, end, facing = _way(draw)
    size = draw.uniform(0.8, 1.3)
    y = draw.uniform(GROUND + 5, GROUND + 40)
    coat = tuple(float(value) for value in np.array([60, 95, 140]) * draw.uniform(0.7, 1.2))

    def paint(image: Image, at: float) -> None:
        x = (begin + (end - begin) * at) * WIDTH

        def point(right: float, up: float) -> tuple[int, int]:
            return round(x + facing * right * size), round(y - up * size)

        for leg, right in enumerate((-16, -11, 12, 17)):
            swing = 6 * np.sin(at * 26 + leg * 1.7)
            cv2.line(image, point(right, 4), point(right + swing, -22), coat, 3, cv2.LINE_AA)
        body = (round(24 * size), round(11 * size))
        cv2.ellipse(image, point(0, 8), body, 0, 0, 360, coat, -1, cv2.LINE_AA)
        cv2.line(image, point(18, 12), point(28, 32), coat, round(8 * size), cv2.LINE_AA)
        head = (round(9 * size), round(5 * size))
        cv2.ellipse(image, point(33, 33), head, 0, 0, 360, coat, -1, cv2.LINE_AA)
        for right in (26, 30):
            cv2.line(image, point(right, 37), point(right - 4, 50), (40, 60, 80), 2, cv2.LINE_AA)

    return paint


def _birds(draw: Generator) -> Paint:
    begin, end, _ = _way(draw)
    count = int(draw.integers(2, 6))
    offsets = draw.uniform((-70, -25), (70, 25), (count, 2))
    y = draw.uniform(40, 100)
    size = draw.uniform(0.8, 1.4)

    def paint(image: Image, at: float) -> None:
        x = (begin + (end - begin) * at) * WIDTH
        for number, (right, down) in enumerate(offsets):
            beat = 9 * np.sin(at * 40 + number)
            middle = (round(x + right), round(y + down))
            for side in (-1, 1):
                tip = (round(x + right + side * 15 * size), round(y + down - beat * size))
                cv2.line(image, middle, tip, (35, 30, 30), 3, cv2.LINE_AA)
            cv2.circle(image, middle, round(3 * size), (25, 25, 25), -1, cv2.LINE_AA)

    return paint


def _cars(draw: Generator) -> Paint:
    begin, end, facing = _way(draw)
    y = round(draw.uniform(GROUND + 20, GROUND + 45))
    colour = tuple(float(value) for value in draw.uniform(60, 230, 3))
    size = draw.uniform(0.9, 1.3)

    def paint(image: Image, at: float) -> None:
        x = (begin + (end - begin) * at) * WIDTH
        cv2.rectangle(image, (0, y + 8), (WIDTH, y + 34), (95, 95, 95), -1)

        def point(right: float, up: float) -> tuple[int, int]:
            return round(x + facing * right * size), round(y - up * size)

        cv2.rectangle(image, point(-46, 22), point(46, -12), colour, -1)
        roof = np.array([point(-28, 22), point(-18, 42), point(18, 42), point(32, 22)])
        cv2.fillPoly(image, [roof], (200, 190, 170), cv2.LINE_AA)
        for wheel in (-27, 27):
            cv2.circle(image, point(wheel, -13), round(10 * size), (30, 30, 30), -1, cv2.LINE_AA)

    return paint


KINDS: dict[str, Callable[[Generator], Paint]] = {"bird": _birds, "car": _cars, "deer": _deer}

"""Made clips of six motions that differ in their direction alone.

`python tests/motion_clips.py FOLDER --clips 40` writes a folder for each class. Objects differ in
shape, size, speed, brightness and place, and each site has a background, a light and a sensor noise
of its own: none of this says which class it is. The same seed gives the same frames; x264 does not
always make the same bytes of them.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

Array = np.ndarray[Any, Any]
Generator = np.random.Generator

CLASSES = ("Approach", "Clockwise", "CounterClockwise", "Leftward", "Recede", "Rightward")
RATE = 25
FRAMES = 2 * RATE
SHIFT = 4  # bits of a pixel's fraction, as OpenCV draws it
SIZES = ((160, 120), (320, 240))


@dataclass(frozen=True)
class Site:
    """What all clips of one camera share."""

    background: Array
    """`(H, W, 3)` uint8 RGB."""
    noise: float
    """Standard deviation of the sensor's noise, in grey levels."""
    flicker: float
    """By which share the light changes, at most."""
    rate: float
    """How often it does, in 1/s."""


@dataclass(frozen=True)
class Shape:
    """An object: a ball, or a polygon of radius 1 about the origin."""

    corners: Array | None
    """`(N, 2)`; None for a ball."""
    colour: tuple[float, ...]


@dataclass(frozen=True)
class Pose:
    """Where an object is in one frame, in pixels and radians."""

    x: float
    y: float
    radius: float
    angle: float


def write_clips(folder: Path, clips: int, sites: int = 5, seed: int = 0) -> list[Path]:
    """Write so many clips of each class, dealt to `sites` in turns.

    Sites and clips of another seed are others.
    """
    written = []
    for number in range(clips):
        site_number = number % sites
        site = make_site(np.random.default_rng((seed, site_number)))
        for label in CLASSES:
            name = f"v_{label}_g{seed * 100 + site_number:02}_c{number:03}.mp4"
            path = folder / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draw = np.random.default_rng((seed, site_number, number, CLASSES.index(label), 1))
            write_video(path, make_frames(label, site, draw))
            written.append(path)
    return written


def make_site(draw: Generator) -> Site:
    """A camera in front of a scene of its own."""
    width, height = SIZES[draw.integers(len(SIZES))]
    background = np.full((height, width, 3), draw.uniform(60, 190, 3), np.float32)
    for size in (4, 12, 40):
        coarse = draw.normal(0, draw.uniform(4, 22), (size, size, 3)).astype(np.float32)
        background += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(draw.integers(2, 9)):
        left, top = draw.integers((width, height))
        size = draw.integers(10, width // 3, 2)
        corner = (int(left + size[0]), int(top + size[1]))
        shade = tuple(draw.uniform(20, 235, 3))
        cv2.rectangle(background, (int(left), int(top)), corner, shade, -1)
    return Site(
        background=background.clip(10, 245).astype(np.uint8),
        noise=draw.uniform(1, 5),
        flicker=draw.uniform(0, 0.06),
        rate=draw.uniform(0.5, 8),
    )


def make_frames(label: str, site: Site, draw: Generator) -> list[Array]:
    """Two seconds of one motion, `(H, W, 3)` uint8 RGB each."""
    height, width = site.background.shape[:2]
    poses = PATHS[label](draw, width, height)
    shape = _shape(draw, site, poses[len(poses) // 2], is_turning="lockwise" in label)
    phase = draw.uniform(0, 2 * np.pi)
    frames = []
    for index, pose in enumerate(poses):
        image = site.background.copy()
        _paint(image, shape, pose)
        light = 1 + site.flicker * np.sin(phase + 2 * np.pi * site.rate * index / RATE)
        noise = site.noise * draw.standard_normal(image.shape, np.float32)
        noisy = image * np.float32(light) + noise
        frames.append(noisy.clip(0, 255).astype(np.uint8))
    return frames


def _across(direction: int) -> Callable[[Generator, int, int], list[Pose]]:
    """An object that crosses the picture; it comes back where it came from."""

    def path(draw: Generator, width: int, height: int) -> list[Pose]:
        radius = draw.uniform(0.06, 0.2) * height
        y = draw.uniform(0.2, 0.8) * height
        drift = draw.uniform(-0.15, 0.15) * height
        way = width + 2.2 * radius
        begin = draw.uniform(0, way)
        speed = direction * draw.uniform(0.2, 0.9) * width
        angle = draw.uniform(0, 2 * np.pi)
        return [
            Pose((begin + speed * t) % way - 1.1 * radius, y + drift * (t - 1), radius, angle)
            for t in _times()
        ]

    return path


def _turning(direction: int) -> Callable[[Generator, int, int], list[Pose]]:
    """An object that turns about itself or about a place beside it."""

    def path(draw: Generator, width: int, height: int) -> list[Pose]:
        orbit = draw.uniform(0.12, 0.3) * height if draw.random() < 0.5 else 0.0
        least, most = (0.06, 0.14) if orbit else (0.15, 0.4)
        radius = draw.uniform(least, most) * height
        reach = orbit + radius
        x = draw.uniform(min(reach, width / 2), max(width - reach, width / 2))
        y = draw.uniform(min(reach, height / 2), max(height - reach, height / 2))
        begin = draw.uniform(0, 2 * np.pi)
        speed = direction * draw.uniform(0.25, 1.2) * 2 * np.pi
        turns = [begin + speed * t for t in _times()]
        return [Pose(x + orbit * np.cos(a), y + orbit * np.sin(a), radius, a) for a in turns]

    return path


def _towards(direction: int) -> Callable[[Generator, int, int], list[Pose]]:
    """An object that grows or shrinks in its place."""

    def path(draw: Generator, width: int, height: int) -> list[Pose]:
        near = draw.uniform(0.2, 0.5) * height
        far = near / draw.uniform(2, 5)
        x = draw.uniform(0.25, 0.75) * width
        y = draw.uniform(0.25, 0.75) * height
        angle = draw.uniform(0, 2 * np.pi)
        # The size in the picture is one over the distance.
        begin, end = (far, near) if direction > 0 else (near, far)
        ways = [t * RATE / (FRAMES - 1) for t in _times()]
        return [Pose(x, y, 1 / ((1 - way) / begin + way / end), angle) for way in ways]

    return path


# On the screen, where y grows downwards, a growing angle turns clockwise.
PATHS: dict[str, Callable[[Generator, int, int], list[Pose]]] = {
    "Approach": _towards(1),
    "Clockwise": _turning(1),
    "CounterClockwise": _turning(-1),
    "Leftward": _across(-1),
    "Recede": _towards(-1),
    "Rightward": _across(1),
}


def _times() -> list[float]:
    return [index / RATE for index in range(FRAMES)]


def _shape(draw: Generator, site: Site, pose: Pose, *, is_turning: bool) -> Shape:
    """A ball or a polygon, brighter or darker than what is behind it."""
    height, width = site.background.shape[:2]
    x = int(np.clip(pose.x, 0, width - 1))
    y = int(np.clip(pose.y, 0, height - 1))
    behind = site.background[max(0, y - 8) : y + 8, max(0, x - 8) : x + 8].mean((0, 1))
    contrast = draw.uniform(45, 110)
    is_brighter = draw.random() < (255 - behind.mean()) / 255
    colour = behind + (contrast if is_brighter else -contrast) + draw.uniform(-15, 15, 3)
    kind = draw.choice(["ball", "bar", "polygon"])
    if kind == "ball" and (not is_turning or pose.radius < 0.15 * height):
        return Shape(None, tuple(colour.clip(0, 255)))
    if kind == "polygon":
        angles = np.linspace(0, 2 * np.pi, draw.integers(3, 5), endpoint=False)
        corners = np.stack([np.cos(angles), np.sin(angles)], 1)
    else:
        thick = draw.uniform(0.15, 0.4)
        corners = np.array([[-1, -thick], [1, -thick], [1, thick], [-1, thick]])
    return Shape(corners, tuple(colour.clip(0, 255)))


def _paint(image: Array, shape: Shape, pose: Pose) -> None:
    scale = 1 << SHIFT
    if shape.corners is None:
        centre = (round(pose.x * scale), round(pose.y * scale))
        radius = round(pose.radius * scale)
        cv2.circle(image, centre, radius, shape.colour, -1, cv2.LINE_AA, SHIFT)
        return
    cosine = np.cos(pose.angle)
    sine = np.sin(pose.angle)
    turned = shape.corners @ np.array([[cosine, sine], [-sine, cosine]])
    corners = np.rint((turned * pose.radius + (pose.x, pose.y)) * scale).astype(np.int32)
    cv2.fillConvexPoly(image, corners, shape.colour, cv2.LINE_AA, SHIFT)


def write_video(path: Path, frames: list[Array]) -> Path:
    """H.264 at 25 frames a second."""
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width = width
        stream.height = height
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def main() -> None:
    """Write clips into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=40, help="of each class")
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    written = write_clips(chosen.folder, chosen.clips, chosen.sites, chosen.seed)
    print(f"{len(written)} clips in {chosen.folder}")


if __name__ == "__main__":
    main()

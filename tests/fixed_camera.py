"""Clips of one fixed camera: three classes of one's own, on a background that never changes.

Labs, factories and camera traps have such clips. The names say nothing of groups, and all clips
look alike. Another seed gives fresh clips of the same camera and classes.

    python tests/fixed_camera.py FOLDER --clips 12 --seed 0
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, Any]

CLASSES = ("blue_disc", "green_bar", "red_box")
SIZE = (320, 240)  # width, height
FRAMES = 25
RATE = 12.5  # frames a second: two seconds
NOISE = 3.0  # standard deviation of the sensor's noise, of 255
LIGHT = 0.06  # how much lighter or darker the scene becomes over a day
CAMERA = 7  # what the camera sees; not the seed of the clips
# Clips of other seeds have other names, so that they can lie in one folder.
NAMES_A_SEED = 1000


def write_clip(path: Path, label: str, seed: int, number: int) -> Path:
    """One clip of `label`, always the same one for a seed and a number.

    Args:
        path: The mp4 file.
        label: One of `CLASSES`.
        seed: Of all clips that are made together.
        number: Of the clip among these; the light changes slowly with it.
    """
    rng = np.random.default_rng([CLASSES.index(label), seed, number])
    shape = {"blue_disc": _disc, "green_bar": _bar, "red_box": _box}[label](rng)
    light = 1 + LIGHT * np.sin(2 * np.pi * (number / 40 + 0.37 * seed))
    scene = _scene()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, SIZE)
    if not writer.isOpened():
        raise OSError(f"{path}: cannot be written")
    for index in range(FRAMES):
        image = scene.copy()
        shape(image, index / (FRAMES - 1))
        noise = rng.normal(0, NOISE, image.shape)
        writer.write(np.clip(image * light + noise, 0, 255).astype(np.uint8))
    writer.release()
    return path


def write_clips(folder: Path, clips: int, seed: int) -> list[Path]:
    """Class folders in `folder` with so many clips of each class; gives the clips' paths.

    The numbers run through the classes in turn, as a camera that records all of them numbers them.
    """
    paths = []
    for number in range(clips * len(CLASSES)):
        label = CLASSES[number % len(CLASSES)]
        path = folder / label / f"clip_{NAMES_A_SEED * seed + number + 1:04}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        paths.append(write_clip(path, label, seed, number))
    return paths


def _scene() -> Image:
    """What the camera sees without a thing, `(H, W, 3)` uint8, BGR: a wall, a bench, some boxes."""
    rng = np.random.default_rng(CAMERA)
    width, height = SIZE
    coarse = rng.uniform(105, 165, (12, 16, 3)).astype(np.float32)
    wall = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 6, (height, width, 1))
    scene = np.ascontiguousarray(np.clip(wall + grain, 0, 255).astype(np.uint8))
    bench = height * 3 // 4
    cv2.rectangle(scene, (0, bench), (width, height), (70, 90, 110), -1)
    for left in (14, 236):
        cv2.rectangle(scene, (left, bench - 40), (left + 60, bench), (95, 95, 90), -1)
        cv2.rectangle(scene, (left, bench - 40), (left + 60, bench), (50, 50, 50), 2)
    return scene


def _box(rng: np.random.Generator) -> Any:
    """A red box that crosses from one side to the other."""
    width, height = SIZE
    side = int(rng.integers(44, 64))
    top = int(rng.integers(50, height - side - 30))
    is_leftward = bool(rng.integers(2))

    def draw(image: Image, at: float) -> None:
        way = 1 - at if is_leftward else at
        left = round(10 + way * (width - side - 20))
        cv2.rectangle(image, (left, top), (left + side, top + side), (30, 30, 210), -1)

    return draw


def _disc(rng: np.random.Generator) -> Any:
    """A blue disc that bobs in its place."""
    width, height = SIZE
    radius = int(rng.integers(24, 36))
    x = int(rng.integers(60, width - 60))
    y = int(rng.integers(80, height - 80))
    turns = rng.uniform(1, 2)

    def draw(image: Image, at: float) -> None:
        up = round(14 * np.sin(2 * np.pi * turns * at))
        cv2.circle(image, (x, y + up), radius, (210, 70, 30), -1)

    return draw


def _bar(rng: np.random.Generator) -> Any:
    """A green bar that swings from a point above."""
    width, _ = SIZE
    x = int(rng.integers(110, width - 110))
    length = int(rng.integers(120, 160))
    turns = rng.uniform(0.8, 1.6)
    start = rng.uniform(0, 1)

    def draw(image: Image, at: float) -> None:
        angle = 0.7 * np.sin(2 * np.pi * (turns * at + start))
        end = (round(x + length * np.sin(angle)), round(30 + length * np.cos(angle)))
        cv2.line(image, (x, 30), end, (50, 180, 40), 18)

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description="Write clips of one fixed camera.")
    parser.add_argument("folder", type=Path, help="where the class folders are made")
    parser.add_argument("--clips", type=int, default=12, help="of each class")
    parser.add_argument("--seed", type=int, default=0, help="another one gives fresh clips")
    options = parser.parse_args()
    for path in write_clips(options.folder, options.clips, options.seed):
        print(path)


if __name__ == "__main__":
    main()

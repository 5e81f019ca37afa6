"""How much moves: noise, flicker and a camera that shakes are no movement; a small thing is."""

import cv2
import numpy as np
import pytest

from learner.movement import Array, movement

SIDE = 224
FRAMES = 16


def scene(seed: int = 0) -> Array:
    """A picture with soft and hard edges, a little larger than the frames."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 220, (12, 12, 3), np.uint8)
    picture = cv2.resize(coarse, (SIDE + 8, SIDE + 8), interpolation=cv2.INTER_CUBIC)
    cv2.rectangle(picture, (30, 120), (110, 200), (200, 190, 40), -1)
    return np.asarray(picture)


def clip(still: Array, noise: float = 8, shake: float = 0, flicker: float = 0) -> Array:
    random = np.random.default_rng(1)
    frames = []
    for _ in range(FRAMES):
        x, y = random.uniform(-shake, shake, 2)
        moved = cv2.warpAffine(still, np.float32([[1, 0, x], [0, 1, y]]), still.shape[1::-1])
        light = 1 + random.uniform(-flicker, flicker)
        frame = moved[4:-4, 4:-4] * light + random.normal(0, noise, (SIDE, SIDE, 3))
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
    return np.stack(frames)


def with_thing(frames: Array, size: int = 32, shown: range = range(FRAMES)) -> Array:
    """A square crosses the scene, in the frames that are named."""
    frames = frames.copy()
    for at in shown:
        x = 10 + at * (SIDE - size - 20) // FRAMES
        frames[at, 90 : 90 + size, x : x + size] = (20, 20, 20)
    return frames


@pytest.mark.parametrize(
    "what",
    [{"noise": 0}, {"noise": 25}, {"flicker": 0.15}, {"shake": 1.5}, {"shake": 1, "noise": 15}],
)
def test_a_scene_in_which_nothing_happens_has_less_movement_than_one_with_a_small_thing(
    what: dict[str, float],
) -> None:
    empty = clip(scene(), **what)
    assert movement(empty) < 0.01
    assert movement(with_thing(empty)) > 0.015


def test_a_thing_that_is_there_in_few_frames_is_noticed() -> None:
    assert movement(with_thing(clip(scene()), 48, range(5, 8))) > 0.015


@pytest.mark.parametrize("level", [0, 220])
def test_a_thing_that_stands_still_in_a_dark_scene_is_noticed(level: int) -> None:
    """As in infrared light: it comes and goes, which more contrast must not explain."""
    frames = clip(scene() // 12, noise=2)
    frames[5:9, 90:138, 90:138] = np.maximum(frames[5:9, 90:138, 90:138], level)
    assert (movement(frames) > 0.015) is bool(level)


@pytest.mark.slow
def test_more_contrast_is_no_movement() -> None:
    frames = [clip(scene() * (0.6 + at % 3 / 5), noise=3)[at] for at in range(FRAMES)]
    assert movement(np.stack(frames)) < 0.01


def test_a_camera_that_turns_to_another_scene_moves_all() -> None:
    frames = clip(scene())
    frames[1::2] = clip(scene(5))[1::2]
    assert movement(frames) > 0.3


def test_pictures_of_one_grey_and_of_other_sizes_are_measured() -> None:
    assert movement(np.full((4, 17, 17, 3), 90, np.uint8)) == 0
    assert movement(np.zeros((1, 64, 64, 3), np.uint8)) == 0
    assert 0 <= movement(np.random.default_rng(0).integers(0, 256, (3, 65, 65, 3), np.uint8)) <= 1

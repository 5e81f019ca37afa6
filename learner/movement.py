"""How much moves in a clip, as one number: by which scenes where nothing happens are found.

Every decoder process loads this module, so it imports neither torch nor timm.
"""

from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]

SIDE = 32
"""Pictures are compared as grey ones of `SIDE` x `SIDE` pixels."""
# Pixels at the border, which a camera that shakes brings in.
BORDER = 1
# A change of so many grey levels is none, nor one of so many deviations of the noise.
LEAST = 4.0
DEVIATIONS = 4.0
# The most that counts as noise, in grey levels: if most of a picture moves, that is no noise.
MOST_NOISE = 4.0
# A change that a shift by so many pixels explains is none, either: edges shake.
SHIFT = 0.5
# Of the search for what most of the picture has in common.
STEPS = 2


def movement(frames: Array) -> float:
    """The share of the picture that changes, from 0 to 1, between the sampled frames of a clip.

    Of each two that follow each other, the change is taken that is left if the whole picture became
    brighter, gained contrast and was shifted: these four numbers by least squares over the pixels
    that agree, with the derivatives of brightness in space (Lucas and Kanade, 1981). A pixel counts
    if what is left is more than noise, whose deviation is that of the median (Huber, Robust
    Statistics, 1981), and more than a shift by half a pixel. Of all pairs, a tenth has more than
    what is given: something may cross the scene for a moment.

    Args:
        frames: `(T, height, width, 3)` uint8, RGB.
    """
    if len(frames) < 2:
        return 0.0
    grey = _grey(frames)
    inside = slice(BORDER, -BORDER)
    down = (grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]) / 2
    right = (grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]) / 2
    down = _between(down)
    right = _between(right)
    pixels = grey[:, inside, inside].reshape(len(grey), -1)
    change = pixels[1:] - pixels[:-1]
    explained = np.stack([np.ones_like(change), (pixels[1:] + pixels[:-1]) / 2, right, down], 1)
    edges = SHIFT * (np.abs(right) + np.abs(down))
    # What is large at first counts for nothing: else more contrast explains a bright thing that
    # comes into a dark scene. If the whole scene has more contrast, each step explains more of it.
    size = np.abs(change - np.median(change, 1, keepdims=True))
    for _ in range(STEPS):
        is_like_most = size <= _least(size, edges)
        size = np.abs(_without(explained, change, is_like_most))
    return float(np.quantile((size > _least(size, edges)).mean(1), 0.9))


def _least(size: Array, edges: Array) -> Array:
    """The changes that are no noise, and no shift of `edges`, are larger than this."""
    noise = np.minimum(np.median(size[:, ::4], 1, keepdims=True) * 1.4826, MOST_NOISE)
    least: Array = np.maximum(noise * DEVIATIONS, LEAST) + edges
    return least


def _grey(frames: Array) -> Array:
    """`(T, height, width, 3)` uint8 to `(T, SIDE, SIDE)` float32, smooth, of green alone.

    Some points of each of its pixels are enough, and take a third of the time.
    """
    step = max(1, min(frames.shape[1:3]) // (3 * SIDE))
    fewer = np.ascontiguousarray(frames[:, ::step, ::step, 1])
    count, _, width = fewer.shape
    small = cv2.resize(fewer.reshape(-1, width), (SIDE, count * SIDE), interpolation=cv2.INTER_AREA)
    grey = small.reshape(count, SIDE, SIDE).astype(np.float32)
    return np.stack([cv2.GaussianBlur(picture, (5, 5), 1.0) for picture in grey])


def _between(values: Array) -> Array:
    """`(T, height, width)` to the mean of each two that follow each other, `(T - 1, pixels)`."""
    return ((values[1:] + values[:-1]) / 2).reshape(len(values) - 1, -1)


def _without(explained: Array, change: Array, counts: Array) -> Array:
    """The change `(T, pixels)` without what `explained`, `(T, n, pixels)`, accounts for.

    By least squares over the pixels that count, `(T, pixels)` bool.
    """
    weighted = explained * counts[:, None]
    products = weighted @ explained.transpose(0, 2, 1)
    # Without this, a picture of one grey gives no solution.
    products += np.eye(explained.shape[1], dtype=np.float32)
    factors = np.linalg.solve(products, weighted @ change[..., None])
    rest: Array = change - (factors.transpose(0, 2, 1) @ explained)[:, 0]
    return rest

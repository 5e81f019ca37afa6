"""Motion between two neighbouring frames, as a few numbers: what pooled image features cannot tell.

Every decoder process loads this module, so it imports neither torch nor timm.

A point of brightness I that moves by (u, v) keeps it: Ix u + Iy v + It = 0, with the derivatives of
I in space and time (Horn and Schunck, 1981). So -It Ix and -It Iy, summed over a region and divided
by its gradient energy Ix^2 + Iy^2, is how far the region moved, as far as its edges show it (normal
flow; Lucas and Kanade, 1981). A product of two derivatives keeps its sign if bright and dark are
swapped, and changes it if time runs backwards.

From this flow come a translation and two moments, about two centres: radial (towards the camera or
away from it) and angular (clockwise or not). One centre is that of all motion in the clip: an
object that circles around it has an angular moment there, although it only moves on in each single
frame. The other one is the centre of motion in this frame.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np

Array = np.ndarray[Any, Any]

# Raised whenever the same frames may give other numbers than before.
MOTION = 1
SIDE = 64
"""Frames are compared as grey pictures of `SIDE` x `SIDE` pixels."""
CELLS = 2
"""Motion by place is that of `CELLS` x `CELLS` parts of the picture."""
MOTION_FEATURES = 8 + 2 * CELLS**2

# A change of so many grey levels counts half; of a tenth of that, a hundredth. Compression and
# sensors change each pixel of a still picture by one or two levels.
NOISE = 2.0
# Gradient energy, in squared grey levels, of a region with nothing in it: 50 pixels of two levels.
LITTLE = 200.0
# The least radius of a moving thing, as a share of half the picture.
SMALL = 0.05

DIRECTIONS = 6
"""So many numbers, the first ones, are directions of the whole picture."""
REVERSED = -np.ones(MOTION_FEATURES, np.float32)
"""What each number is multiplied by if the clip is played backwards: the share keeps its sign."""
REVERSED[6] = 1

_AXIS = (np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2) / (SIDE / 2)
_X = np.tile(_AXIS, SIDE)
_Y = np.repeat(_AXIS, SIDE)
# What pixels are weighted with for sums of order 0, 1 and 2 over the picture: `(pixels, 4)`.
_ORDERS = np.stack([np.ones_like(_X), _X, _Y, _X**2 + _Y**2], 1)


class _Flow(NamedTuple):
    """Normal flow of T pairs of frames, each `(T, pixels)`."""

    energy: Array
    """Of the gradient, where something changes."""
    x: Array
    """Flow times energy."""
    y: Array
    share: Array
    """From 0, no change, to 1, a change that is no noise."""
    brightness: Array
    """`(T,)`, by how many grey levels the picture became brighter."""


def motion(pairs: Array) -> Array:
    """`(T, 2, SIDE, SIDE)` uint8 grey pairs of neighbours to `(T, MOTION_FEATURES)` float32.

    The columns, in pixels of the grey picture a frame if nothing else is said:

    - 0, 1: to the right, downwards
    - 2, 3: away from the clip's centre of motion, and clockwise around it
    - 4, 5: the same about the frame's own centre of motion
    - 6: the share of the picture that changes
    - 7: how many grey levels the picture became brighter
    - then for each of the `CELLS` x `CELLS` cells: to the right; then for each: downwards
    """
    flow = _normal_flow(pairs)
    energy = flow.energy @ _ORDERS
    along_x = flow.x @ _ORDERS
    along_y = flow.y @ _ORDERS
    total = energy[:, :1] + LITTLE

    def moments(centre: Array, radius: Array) -> Array:
        x = centre[..., 0]
        y = centre[..., 1]
        radial = along_x[:, 1] - x * along_x[:, 0] + along_y[:, 2] - y * along_y[:, 0]
        angular = along_y[:, 1] - x * along_y[:, 0] - along_x[:, 2] + y * along_x[:, 0]
        return np.stack([radial, angular], 1) / radius[..., None]

    whole = [along_x[:, :1], along_y[:, :1], moments(*_centre(energy.sum(0)))]
    whole.append(moments(*_centre(energy)))
    rest = [flow.share.mean(1)[:, None], flow.brightness[:, None]]
    in_cells = _cells(flow.energy) + LITTLE
    by_place = [_cells(flow.x) / in_cells, _cells(flow.y) / in_cells]
    return np.concatenate([np.concatenate(whole, 1) / total, *rest, *by_place], 1)


def _normal_flow(pairs: Array) -> _Flow:
    count = len(pairs)
    smooth = np.empty(pairs.shape, np.float32)
    for before, after in zip(
        pairs.reshape(-1, SIDE, SIDE), smooth.reshape(-1, SIDE, SIDE), strict=True
    ):
        cv2.GaussianBlur(before.astype(np.float32), (5, 5), 1.0, dst=after)
    # Derivatives in space are of the mean of both frames: so backwards gives the same with the
    # other sign.
    middle = (smooth[:, 0] + smooth[:, 1]) / 2
    change = (smooth[:, 1] - smooth[:, 0]).reshape(count, -1)
    brightness = change.mean(1)
    change = _without_light(change, middle.reshape(count, -1))
    in_x = np.zeros_like(middle)
    in_y = np.zeros_like(middle)
    np.subtract(middle[:, :, 2:], middle[:, :, :-2], out=in_x[:, :, 1:-1])
    np.subtract(middle[:, 2:], middle[:, :-2], out=in_y[:, 1:-1])
    in_x = in_x.reshape(count, -1) / 2
    in_y = in_y.reshape(count, -1) / 2
    squared = change**2
    share = np.maximum(squared - NOISE**2, 0) / (squared + NOISE**2)
    weighted = -share * change
    energy = share * (in_x**2 + in_y**2)
    return _Flow(energy, weighted * in_x, weighted * in_y, share, brightness)


def _without_light(change: Array, picture: Array) -> Array:
    """The change that is left if the light of the whole picture may have changed.

    That is a gain and an offset for all pixels, by least squares.
    """
    contrast = picture - picture.mean(1, keepdims=True)
    change = change - change.mean(1, keepdims=True)
    products = np.einsum("tp,tp->t", contrast, change)
    # A picture without contrast says nothing of a gain.
    gain = products / (np.einsum("tp,tp->t", contrast, contrast) + SIDE**2)
    return change - gain[:, None] * contrast  # type: ignore[no-any-return]


def _centre(energy: Array) -> tuple[Array, Array]:
    """The centre `(..., 2)` and the radius `(...)` of what moves, by its sums `(..., 4)`."""
    total = energy[..., :1] + 1e-3
    centre = energy[..., 1:3] / total
    spread = energy[..., 3] / total[..., 0] - (centre**2).sum(-1)
    return centre, np.sqrt(np.maximum(spread, 0)) + SMALL


def _cells(values: Array) -> Array:
    """`(T, pixels)` to `(T, CELLS * CELLS)` sums."""
    length = SIDE // CELLS
    cells = values.reshape(-1, CELLS, length, CELLS, length)
    return cells.sum((2, 4)).reshape(len(values), -1)  # type: ignore[no-any-return]

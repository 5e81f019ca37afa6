"""Turns and mirrors pictures as the recorder states, so that they are seen as they were meant."""

from typing import Any

import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type

Array = np.ndarray[Any, Any]
_side_data_of: Any = SideDataContainer  # its stub knows no argument


def _unnamed(kind: type[Type], value: int) -> Type:
    """A kind of side data that PyAV has no name for."""
    member: Any = object.__new__(kind)
    member._name_ = f"KIND_{value}"
    member._value_ = value
    return member  # type: ignore[no-any-return]


# PyAV 18 knows fewer kinds than its FFmpeg. It would refuse all side data of a frame with one of
# them: each JPEG with an orientation is such a frame.
Type._missing_ = classmethod(_unnamed)  # type: ignore[assignment]


def upright(image: Array, frame: Any) -> Array:
    """An image of `frame` as it is to be seen.

    FFmpeg gives what MP4 and Matroska state, and the orientation in a JPEG, as a matrix: the rows
    of its first two columns say where the axes of the picture point to. These are the eight ways
    to turn and mirror; an angle between them is taken for the nearest.

    Args:
        image: `(height, width)` or `(height, width, 3)`.
        frame: The frame that it was made of.
    """
    # Not `frame.side_data`: the frame keeps that, and it the frame. Such a cycle of a frame of full
    # size stays in memory until Python looks for cycles, which it seldom does here.
    stated = _side_data_of(frame).get("DISPLAYMATRIX")
    if stated is None:
        return image
    matrix = np.frombuffer(bytes(stated), np.int32)
    right, down = matrix[[0, 1]].astype(float), matrix[[3, 4]].astype(float)
    if abs(right[1]) + abs(down[0]) > abs(right[0]) + abs(down[1]):
        image = image.swapaxes(0, 1)
        is_mirrored, is_upside_down = down[0] < 0, right[1] < 0
    else:
        is_mirrored, is_upside_down = right[0] < 0, down[1] < 0
    image = image[:, ::-1] if is_mirrored else image
    image = image[::-1] if is_upside_down else image
    return np.ascontiguousarray(image)

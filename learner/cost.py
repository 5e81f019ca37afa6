"""What it costs to read a clip: all of its frames, or a few that are sought."""

from typing import Any

# What is no dearer than a minute of small pictures is read whole: clips such as those of UCF101,
# which the starter learned from. Pictures that are smaller count as much.
SMALL = 320 * 240
LONG = 1500
# Seeking has to save at least a twentieth. It may cost more than is estimated, it does not notice
# damage between the frames that it reads, and reading all gives the middle frame of each part.
LEAST_SAVING = 0.05
# A key frame costs as much as so many frames in a row, by what it holds and by what a jump takes.
KEY_FRAME = 3.0


def is_dear(count: float, stream: Any) -> bool:
    """Whether it costs much to decode so many frames of `stream`, by their number and their size.

    56 frames of 1080p, 14 of 4K or 4 of 8K are as many pixels as 1500 frames of 320x240.
    """
    pixels = (stream.width or 0) * (stream.height or 0)
    return count * max(pixels, SMALL) > LONG * SMALL


def saves(jumps: int, decoded: float, count: float) -> bool:
    """Whether seeking is worth it.

    Args:
        jumps: How many key frames are jumped to.
        decoded: How many frames are decoded, with these.
        count: How many frames the clip has.
    """
    return decoded + jumps * (KEY_FRAME - 1) <= count * (1 - LEAST_SAVING)

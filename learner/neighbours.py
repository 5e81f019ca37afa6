"""Keeps small grey pictures of sampled frames and of the frames after them, to measure motion."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import av.error
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from learner.colours import take_nearest
from learner.motion import SIDE, motion
from learner.safe_open import VideoError
from learner.upright import upright

Array = np.ndarray[Any, Any]


@contextlib.contextmanager
def converting(frame: Any) -> Iterator[None]:
    """Raises a `VideoError` if FFmpeg cannot convert the colours of `frame`."""
    try:
        yield
    except MemoryError:
        raise
    except av.error.FFmpegError as error:
        reason = f"its colours cannot be converted ({frame.format.name}, {error.strerror})"
        raise VideoError(reason) from error


class Neighbours:
    """Pairs of a wanted frame and the one after it, by the number of the wanted frame.

    The last frame of a file has the pair of the frame before it and itself; an only frame has
    itself twice. The whole picture is squashed, whatever the clip spec says of its frames.
    """

    def __init__(self) -> None:
        # As in `Picture`: one scaler for all frames.
        self._scaler = VideoReformatter()
        self._pairs: dict[int, Array] = {}
        self._seen = 0
        self._before: Any = None
        self._last: Any = None
        self._waiting: Array | None = None

    def see(self, frame: Any, *, is_wanted: bool) -> None:
        """The next frame of a clip that is read in sequence."""
        grey = None
        if self._waiting is not None:
            grey = self._grey(frame)
            self._pairs[self._seen - 1] = np.stack([self._waiting, grey])
        self._waiting = None
        if is_wanted:
            self._waiting = self._grey(frame) if grey is None else grey
        # Frames of full size: the last two, and no more.
        self._before = self._last
        self._last = frame
        self._seen += 1

    def end(self) -> None:
        """No frame comes any more."""
        if self._waiting is not None:
            before = self._waiting if self._before is None else self._grey(self._before)
            self._pairs[self._seen - 1] = np.stack([before, self._waiting])
        self._waiting = None
        self._before = None
        self._last = None

    def add(self, number: int, frame: Any, following: Any) -> None:
        """A frame and the one after it, of a clip that is not read in sequence.

        If there is none after it, nothing is known of its motion, and none is measured.
        """
        grey = self._grey(frame)
        after = grey if following is None else self._grey(following)
        self._pairs[number] = np.stack([grey, after])

    def motion(self, numbers: Sequence[int]) -> Array:
        """The motion of wanted frames, `(T, MOTION_FEATURES)` float32."""
        return motion(np.stack([self._pairs[number] for number in numbers]))

    def _grey(self, frame: Any) -> Array:
        take_nearest(frame)
        with converting(frame):
            small = self._scaler.reformat(
                frame, SIDE, SIDE, "gray8", interpolation=Interpolation.AREA, threads=1
            )
            image = small.to_ndarray()
        return upright(image, frame)

"""Cuts the frames of a video into windows, as they are decoded. Opens no file."""

import itertools
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from learner.movement import movement
from learner.neighbours import Neighbours
from learner.recording import Recording
from learner.spec import ClipSpec
from learner.video import DECODER, Clip, Picture
from learner.window_plan import Cuts

Shown = tuple[Fraction, Any]
"""When a frame is shown, in seconds from the video's first picture, and the frame."""


@dataclass(frozen=True)
class Window(Clip):
    """The frames of one window."""

    number: int = 0
    """Its place, from 0."""
    start: float = 0.0
    """Seconds from the video's first picture, as `end`."""
    end: float = 0.0


class Cut:
    """Cuts frames into windows."""

    def __init__(
        self,
        spec: ClipSpec,
        plan: Cuts,
        first: int,
        length: Fraction,
        recording: Recording,
        sha256: str,
    ) -> None:
        """Make windows of frames; none has come yet.

        Args:
            spec: Which frames a window gives, and how they are made.
            plan: The windows.
            first: The number of the first window that is wanted.
            length: The running time of the video, in seconds.
            recording: What its container says of it.
            sha256: Of its content.
        """
        self._spec = spec
        self._plan = plan
        self._length = length
        self._recording = recording
        self._sha256 = sha256
        self._next = first
        self._last = plan.count(length) - 1
        self._begun: deque[_Begun] = deque()
        self._picture = Picture(spec)

    def windows(self, frames: Iterator[Shown]) -> Iterator[Window]:
        """The windows that have a frame, in order."""
        ends: Iterator[Shown | None] = itertools.chain(frames, [None])
        for shown, following in itertools.pairwise(ends):
            assert shown
            when, frame = shown
            self._begin(when)
            until = following[0] if following else None
            after = following[1] if following else None
            image = None
            for window in self._begun:
                if window.wants(until):
                    image = self._picture.of(frame) if image is None else image
                    window.take(until, frame, after, image)
            while self._begun and self._begun[0].is_over(until):
                yield self._ended(self._begun.popleft())
        # All windows are over after the last frame.

    def _begin(self, when: Fraction) -> None:
        """Begin the windows that a frame that is shown at `when` is in."""
        while self._next <= self._last:
            begin = self._plan.begin(self._next)
            if begin > max(when, Fraction(0)):
                break
            end = None if self._next == self._last else self._plan.end(self._next, self._length)
            if end is None or when < end:
                self._begun.append(_Begun(self._next, begin, end, self._length, self._spec))
            self._next += 1

    def _ended(self, window: "_Begun") -> Window:
        numbers = window.numbers
        neighbours = window.neighbours
        recording = self._recording
        frames = np.stack([window.images[number] for number in numbers])
        return Window(
            frames=frames,
            frames_asked=self._spec.frames,
            frames_read=len(window.images),
            decoder=DECODER,
            sha256=self._sha256,
            motion=neighbours.motion(numbers) if neighbours else None,
            recorded=recording.at,
            camera=recording.camera,
            colours=self._picture.colours,
            movement=movement(frames) if len(window.images) > 1 else None,
            number=window.number,
            start=float(window.begin),
            end=float(self._length if window.end is None else window.end),
        )


class _Begun:
    """A window whose frames are coming. The last window of a video ends with its last frame."""

    def __init__(
        self,
        number: int,
        begin: Fraction,
        end: Fraction | None,
        length: Fraction,
        spec: ClipSpec,
    ) -> None:
        self.number = number
        self.begin = begin
        self.end = end
        half = ((length if end is None else end) - begin) / (2 * spec.frames)
        self._middles = [begin + (2 * part + 1) * half for part in range(spec.frames)]
        self.images: list[Any] = []
        self.numbers: list[int] = []
        """For each part that has its frame, the place of that frame among `images`."""
        self.neighbours = Neighbours() if spec.motion else None

    def is_over(self, until: Fraction | None) -> bool:
        """Whether the next frame, shown at `until`, is beyond it; None says that there is none."""
        return until is None or (self.end is not None and until >= self.end)

    def wants(self, until: Fraction | None) -> bool:
        """Whether the frame that is shown until then is in the middle of a part."""
        return self._reached(until) > len(self.numbers)

    def take(self, until: Fraction | None, frame: Any, after: Any, image: Any) -> None:
        """Note the frame, and its picture, for the parts in whose middle it is shown."""
        place = len(self.images)
        self.images.append(image)
        if self.neighbours:
            self.neighbours.add(place, frame, after)
        self.numbers += [place] * (self._reached(until) - len(self.numbers))

    def _reached(self, until: Fraction | None) -> int:
        """How many parts have their middle before `until`; all, if the window is over then."""
        if until is None or self.is_over(until):
            return len(self._middles)
        return bisect_left(self._middles, until)

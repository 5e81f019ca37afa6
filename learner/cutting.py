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
from learner.read_share import CUT_LOSS, TOLERATED_LOSS
from learner.recording import Recording
from learner.spec import ClipSpec
from learner.video import DECODER, Clip, Picture
from learner.window_plan import Cuts

Shown = tuple[Fraction, Any]
"""When a frame is shown, in seconds from the video's first picture, and the frame."""


@dataclass(frozen=True)
class Window(Clip):
    """The frames of one window.

    Its `read_share` is that of the frames that are stored for it and for the windows before it that
    were left out.
    """

    number: int = 0
    """Its place, from 0."""
    start: float = 0.0
    """Seconds from the video's first picture, as `end`."""
    end: float = 0.0


class Stored:
    """When the frames are shown that a file has stored, be they whole or damaged."""

    def __init__(self, rate: float = 0.0) -> None:
        """None has come yet. `rate` is how many frames the stream has a second; 0 if unknown."""
        self._rate = rate
        self._times: list[float] = []

    def add(self, time: float) -> None:
        """Note the next frame."""
        self._times.append(time)

    def count(self, begin: float, end: float) -> int:
        """How many frames are shown between two times.

        Interlaced video may have two packets a frame: so no more than its rate says.
        """
        stored = sum(begin <= time < end for time in self._times)
        return min(stored, round((end - begin) * self._rate)) if self._rate else stored

    def forget(self, before: float) -> None:
        """Forget what is shown before a time."""
        self._times = [time for time in self._times if time >= before]

    def clear(self) -> None:
        """Forget all."""
        self._times.clear()


class Cut:
    """Cuts frames into windows."""

    is_rest_lost = False
    """Whether frames are stored after the last window that was given, and too few are whole."""

    def __init__(
        self,
        spec: ClipSpec,
        plan: Cuts,
        first: int,
        length: Fraction,
        recording: Recording,
        sha256: str,
        stored: Stored | None = None,
        least: float = 0.0,
    ) -> None:
        """Make windows of frames; none has come yet.

        Args:
            spec: Which frames a window gives, and how they are made.
            plan: The windows.
            first: The number of the first window that is wanted.
            length: The running time of the video, in seconds.
            recording: What its container says of it.
            sha256: Of its content.
            stored: The frames that the file has, noted as they are read; None if none are.
            least: The share of a window's frames that have to be whole.
        """
        self._stored = stored or Stored()
        self._least = least
        self._n_lost = 0  # frames of windows that were left out since the last one that was given
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
        """The windows of which enough frames are whole, in order."""
        ends: Iterator[Shown | None] = itertools.chain(frames, [None])
        for shown, following in itertools.pairwise(ends):
            assert shown
            when, frame = shown
            self._begin(when)
            until = following[0] if following else None
            after = following[1] if following else None
            image = None
            for window in self._begun:
                window.n_whole += when >= window.begin
                if window.wants(until):
                    image = self._picture.of(frame) if image is None else image
                    window.take(until, frame, after, image)
            while self._begun and self._begun[0].is_over(until):
                if ended := self._ended(self._begun.popleft()):
                    yield ended
        # All windows are over after the last frame.
        for number in range(self._next, self._last + 1):
            self._lose(number)
        self.is_rest_lost = self._n_lost > 0

    def _begin(self, when: Fraction) -> None:
        """Begin the windows that a frame that is shown at `when` is in."""
        while self._next <= self._last:
            begin = self._plan.begin(self._next)
            if begin > max(when, Fraction(0)):
                break
            end = None if self._next == self._last else self._plan.end(self._next, self._length)
            if end is None or when < end:
                self._begun.append(_Begun(self._next, begin, end, self._length, self._spec))
            else:
                self._lose(self._next)
            self._next += 1

    def _lose(self, number: int) -> None:
        """Note that a window is left out. If it stores no frame, nothing is lost.

        A recording that begins between two key frames loses none: a few lead up to the first one.
        """
        end = float(self._plan.end(number, self._length))
        n_stored = self._stored.count(float(self._plan.begin(number)), end)
        if number or n_stored > CUT_LOSS:
            self._n_lost += n_stored

    def _read_share(self, window: "_Begun", end: float) -> float | None:
        """The share of its frames that are whole, by `Window.read_share`; None if too few are."""
        n_stored = self._stored.count(float(window.begin), end)
        n_lost = self._n_lost
        share = 1.0
        if n_stored - window.n_whole > max(TOLERATED_LOSS * n_stored, CUT_LOSS):
            share = window.n_whole / n_stored
        if not share or share < self._least:
            self._n_lost += n_stored
            return None
        self._n_lost = 0
        self._stored.forget(float(window.begin))
        return share * n_stored / (n_stored + n_lost) if n_lost else share

    def _ended(self, window: "_Begun") -> Window | None:
        end = float(self._length if window.end is None else window.end)
        share = self._read_share(window, end)
        if share is None:
            return None
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
            end=end,
            read_share=share,
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
        self.n_whole = 0
        """How many whole frames are shown from its begin on."""
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

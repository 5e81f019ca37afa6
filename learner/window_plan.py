"""How a long video is cut into windows. Arithmetic alone: loads neither torch nor a decoder."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Protocol, Self

from learner.errors import VidwatchError

LONGEST = 3600.0  # seconds
SHORTEST = 0.5
# Each moment lies in so many windows, at most. Their pictures are in memory together, and each
# piece decodes again what its windows have in common with those before.
MOST_OVERLAP = 20
# Over a month of windows of ten seconds. A file may claim any length.
MOST_WINDOWS = 300_000
# Windows that are read at once: their pictures are in memory together. If windows overlap, more of
# them, since each piece decodes again what the one before has in common with it.
AT_ONCE = 8
AT_ONCE_IF_THEY_OVERLAP = 32
RULE = (
    f"windows are given as SECONDS or SECONDS/STEP, such as '10' or '10/5': from {SHORTEST:g} to "
    f"{LONGEST:g} seconds, and a step that is no longer than a window and no shorter than 1/"
    f"{MOST_OVERLAP} of it"
)


@dataclass(frozen=True)
class WindowPlan:
    """The k-th window, from 0, begins at `k * step`, and is `seconds` long.

    The last window ends with the video. If less than half a step is left after the last whole
    window, that window is longer by the rest. Else the rest is in one more window, a shorter one. A
    video that is shorter than a window is one window.

    Raises:
        VidwatchError: there are no such windows.
    """

    seconds: float
    step: float

    def __post_init__(self) -> None:
        is_length = SHORTEST <= self.seconds <= LONGEST  # false if it is no number
        is_step = self.seconds <= MOST_OVERLAP * self.step and self.step <= self.seconds
        if not is_length or not is_step:
            raise VidwatchError(RULE)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plan that a text such as "10" or "10/5" gives; without a step, windows adjoin.

        Raises:
            VidwatchError: the text gives none.
        """
        number = r"(\d+(?:\.\d+)?)"
        found = re.fullmatch(rf"\s*{number}\s*(?:/\s*{number}\s*)?", text, re.ASCII)
        if not found:
            raise VidwatchError(RULE)
        seconds = float(found[1])
        return cls(seconds, float(found[2]) if found[2] else seconds)

    @property
    def at_once(self) -> int:
        """How many windows are read at once, at most."""
        four_windows = floor(4 * self.seconds / self.step)
        return min(max(AT_ONCE, four_windows), AT_ONCE_IF_THEY_OVERLAP)

    def count(self, length: Fraction) -> int:
        """How many windows a video of `length` seconds has."""
        rest = length - self._seconds
        if rest <= 0:
            return 1
        return floor(rest / self._step + Fraction(1, 2)) + 1

    def begin(self, number: int) -> Fraction:
        """When a window begins, in seconds from the video's first picture."""
        return number * self._step

    def end(self, number: int, length: Fraction) -> Fraction:
        """When a window of a video of `length` seconds ends."""
        is_last = number == self.count(length) - 1
        return length if is_last else self.begin(number) + self._seconds

    @cached_property
    def _seconds(self) -> Fraction:
        return _exact(self.seconds)

    @cached_property
    def _step(self) -> Fraction:
        return _exact(self.step)


def part_name(sha256: str, start: float, end: float) -> str:
    """What a part of a content is called where contents are called by their SHA-256."""
    return f"{sha256}@{start:.3f}-{end:.3f}"


def content_of(name: str) -> str:
    """The SHA-256 of a content, or of the content that a part is of, by `part_name`."""
    return name.partition("@")[0]


class Cuts(Protocol):
    """How a video is cut: a `WindowPlan`, or `OnePart`."""

    def count(self, length: Fraction) -> int:
        """How many windows a video of `length` seconds has."""

    def begin(self, number: int) -> Fraction:
        """When a window begins, in seconds from the video's first picture."""

    def end(self, number: int, length: Fraction) -> Fraction:
        """When a window of a video of `length` seconds ends."""


@dataclass(frozen=True)
class OnePart:
    """A part of a video as window 0: what comes after it is a window that nobody reads."""

    start: float
    """Seconds from the video's first picture, as `end`."""
    end_: float

    def count(self, length: Fraction) -> int:
        """One if it reaches to the end of the video, else two."""
        return 1 if _exact(self.end_) >= length else 2

    def begin(self, number: int) -> Fraction:
        """When the part begins, and when what comes after it."""
        return _exact(self.end_ if number else self.start)

    def end(self, number: int, length: Fraction) -> Fraction:
        """When the part ends; what comes after it ends with the video."""
        return length if number else min(_exact(self.end_), length)


def _exact(value: float) -> Fraction:
    """As it is written: 0.1 is a tenth."""
    return Fraction(value).limit_denominator(10**6)

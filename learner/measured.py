"""Where a long video begins and ends, by its packets, before any of it is decoded."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import av.error

from learner.frames import Times, running_time
from learner.read_share import There, by_time, bytes_there
from learner.recording import Recording, by_container
from learner.safe_open import File, open_container, refuse_huge
from learner.seeking import finds_times
from learner.streams import Film, film, is_still
from learner.video import prepare

# Where the last packets are looked for: FLV finds none at the end itself.
BEFORE_THE_END = (0.0, 2.0, 30.0)  # seconds


class NotCutError(Exception):
    """The video cannot be read in windows; its text says why."""


class ShortError(NotCutError):
    """Its container says that the video is too short to be cut."""


class Measured(NamedTuple):
    """What the packets of a video say of it."""

    start: int
    """When its first picture is shown, in the stream's time base."""
    length: Fraction
    """Its running time, in seconds."""
    there: There
    recording: Recording
    stream: int | None
    """As `Film.number`."""
    rate: float
    """Frames a second; 0 if that is not known."""


def measure(file: File, from_seconds: float = 0.0) -> Measured:
    """Where the video begins and ends, by its packets, and how much of it is there.

    Raises:
        NotCutError: that cannot be found out.
        ShortError: its container says that it is no longer than `from_seconds`.
    """
    there = bytes_there(file)
    try:
        with open_container(file) as container:
            stream, number = prepared(container, file)
            stated = (container.duration or 0) / av.time_base
            if stated <= from_seconds:
                if stated:
                    raise ShortError("it is short")
                raise NotCutError("its container states no running time")
            if not finds_times(container, stream):
                raise NotCutError("its index is missing")
            start = stream.start_time or 0
            times = _times_at_the_end(container, stream, there, stated)
            recording = by_container(container.metadata, stream.metadata)
            seconds = times.last - float(start * stream.time_base)
            rate = float(stream.average_rate or 0)
    except av.error.FFmpegError as error:
        raise NotCutError(f"its end cannot be found ({error.strerror})") from error
    if seconds <= 0:
        raise NotCutError("it does not say when its pictures are shown")
    there = by_time(there, times)
    length = Fraction(round(seconds * av.time_base), av.time_base)
    return Measured(start, length, there, recording, number, rate)


def _times_at_the_end(container: Any, stream: Any, there: There, stated_seconds: float) -> Times:
    """The running time, by the last packets. Some containers find none if they look at the end."""
    start = stream.start_time or 0
    for back in (*BEFORE_THE_END, *_before_what_is_missing(there.share, stated_seconds)):
        at = start + round(max(stated_seconds - back, 0) / stream.time_base)
        container.seek(at, stream=stream)
        times = running_time(container, stream, there.stated)
        if times.last > 0:
            break
    return times


def _before_what_is_missing(share: float, stated_seconds: float) -> Iterator[float]:
    """Where else to look for the last packets of a file that is cut short: earlier and earlier.

    An MP4 with its index at the front leads to where nothing is any more.

    Args:
        share: Of its bytes that are there.
        stated_seconds: Its running time, by its container.
    """
    back = 1.1 * (1 - share) * stated_seconds
    while 0 < back < stated_seconds:
        yield back
        back *= 2
    if share < 1:
        yield stated_seconds


def prepared(container: Any, file: File) -> Film:
    """The stream of pictures, ready to be decoded with one thread.

    Raises:
        NotCutError: there is none whose frames have times.
        VideoError: its pictures are too large.
    """
    found = film(container, file)
    stream = found.stream
    if not stream or not stream.codec_context:
        raise NotCutError("it has no pictures that can be decoded")
    if is_still(stream):
        raise NotCutError("it is a picture")
    refuse_huge(stream)
    prepare(container, stream, file)
    return found

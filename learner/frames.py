"""Frames of an open stream: all that are whole, in their order, or a few of a long one by seeking. Knows no pixels."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import av.error

from learner.safe_open import packets

# Of the running time that a container states, the share that may be missing before the file counts as cut short.
TOLERATED_GAP = 0.05
# Of a clip of no more frames than this, all are decoded: a minute of 25 a second. So are those that models learn from.
LONG = 1500
# Their index tells where each key frame is. Transport and program streams and raw ones have none.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")


class NotSoughtError(Exception):
    """The index and the frames do not agree, or there is less than is stated: reading it all tells what there is."""


class Times(NamedTuple):
    """Seconds stated, 0 where none are, and seconds reached; the number of pictures' packets, and what they span."""

    stated: float
    reached: float
    stored: int
    first: float
    last: float

    @property
    def length(self) -> float:
        """Of the pictures, in seconds."""
        return max(self.last - self.first, 0.0)

    @property
    def are_short(self) -> bool:
        """Whether more is missing than rounding explains."""
        return self.stated > 0 and self.reached < self.stated * (1 - TOLERATED_GAP)


@contextlib.contextmanager
def to_the_first_error() -> Iterator[None]:
    """An error ends the clip where it stands: whether enough of it was read is judged by the caller.

    Want of memory is no error of the clip's.
    """
    try:
        yield
    except MemoryError:
        raise
    except av.error.FFmpegError:
        pass


def whole_frames(container: Any, stream: Any, whole: bool = True) -> Iterator[Any]:
    """The frames that are as they were recorded: those after a damaged one refer to it, up to the next key frame.

    Not `whole` from the beginning: from the first key frame on.
    """
    for packet in packets(container, stream):
        # Some containers say so that the picture before stays; FFmpeg's decoders refuse it.
        if not packet.size and packet.pts is not None:
            continue
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            # What H.264's decoder says where it gets no memory, too: then there is none for a picture here either.
            bytearray(4 * stream.width * stream.height)
            whole = False
            continue
        for frame in frames:
            whole = (whole or frame.key_frame) and not frame.is_corrupt
            if whole:
                yield frame


def running_time(container: Any, stream: Any) -> Times:
    """What is stated, and what the packets reach from where the container stands.

    Stated by the stream of pictures, then compared with that alone; else by the container, and then it is the time at
    which the longest of all streams ends. Matroska counts that from 0, wherever its first picture stands.
    """
    own = float(stream.duration * stream.time_base) if stream.duration else 0.0
    first, last, stored, end = float("inf"), 0.0, 0, 0.0
    with to_the_first_error():
        for packet in packets(container, *([stream] if own else [])):
            if not packet.size or packet.is_discard:
                continue
            is_picture = packet.stream.index == stream.index
            stored += is_picture
            when = packet.pts if packet.pts is not None else packet.dts
            if when is not None:
                until = float((when + (packet.duration or 0)) * packet.time_base)
                end = max(end, until)
                if is_picture:
                    first, last = min(first, float(when * packet.time_base)), max(last, until)
    if own:
        return Times(
            own, last - float((stream.start_time or 0) * stream.time_base), stored, first, last
        )
    return Times((container.duration or 0) / av.time_base, end, stored, first, last)


def is_long(container: Any, stream: Any) -> bool:
    """Whether a few of its frames are better sought than waited for, as far as its container can be trusted."""
    seconds = (
        stream.duration * stream.time_base
        if stream.duration
        else (container.duration or 0) / av.time_base
    )
    count = stream.frames or seconds * (stream.average_rate or 0)
    is_cover = stream.disposition & av.stream.Disposition.attached_pic
    return bool(container.format.name in INDEXED and count > LONG and not is_cover)


def sought(container: Any, stream: Any, count: int, exact: bool) -> Iterator[Any]:
    """One frame of each of `count` equal parts of a long stream, in order.

    The key frame of the part that is nearest to its middle, since it costs one decoding; where the part has none, the
    frame in its middle. That one always where they are to be `exact`: then these are the frames of a reading in
    sequence. A key frame on the way is jumped to; where there is none, reading goes on.

    Raises:
        NotSoughtError: only reading it all tells what there is. Frames that were given till then may be wrong.
    """
    try:
        yield from _sought(container, stream, count, exact)
    except MemoryError:
        raise
    except (av.error.FFmpegError, ArithmeticError, IndexError) as error:
        raise NotSoughtError from error


def _sought(container: Any, stream: Any, count: int, exact: bool) -> Iterator[Any]:
    start, index = stream.start_time or 0, stream.index_entries
    container.seek(
        start + round((container.duration or 0) / av.time_base / stream.time_base), stream=stream
    )
    times = running_time(container, stream)
    # A header may claim a billion, and a recording begin after an hour.
    real = (times.last - start * stream.time_base) * (stream.average_rate or 0)
    if times.are_short or real <= LONG or not len(index):
        raise NotSoughtError
    # MP4's index has the times at which frames are decoded, Matroska's those at which they are shown.
    delay = 0 if container.format.name.startswith("matroska") else start - index[0].timestamp
    shown = _shown(container, stream) if exact else []
    at = _times_of_parts(stream, 2 * count, delay, shown, round(times.last / stream.time_base))
    frames: Iterator[Any] = iter(())
    reached = None
    for part in range(count):
        begin, middle, end = (at(2 * part + half) for half in range(3))
        goal = (
            middle if exact else _nearest(index, begin - delay, middle - delay, end - delay) + delay
        )
        key = index[max(0, index.search_timestamp(goal - delay))].timestamp + delay
        if reached is None or key > reached:
            container.seek(start if exact and reached is None else key, stream=stream)
            frames = whole_frames(container, stream, whole=False)
        if exact and reached is None:
            # By its number and not by its time: so it is seen whether each packet gives a frame.
            frames = itertools.islice(frames, len(shown) // (2 * count), None)
        frame = next(
            (frame for frame in frames if frame.pts is not None and frame.pts >= goal), None
        )
        if frame is None or (frame.pts != goal if exact else frame.pts > max(end, goal)):
            raise NotSoughtError
        yield frame
        reached = frame.pts


def _shown(container: Any, stream: Any) -> list[int]:
    """When each frame is shown, by the packets, which cost little beside decoding."""
    container.seek(stream.start_time or 0, stream=stream)
    shown = [
        packet.pts for packet in packets(container, stream) if packet.size and not packet.is_discard
    ]
    if None in shown or len(set(shown)) < len(shown):
        raise NotSoughtError
    return sorted(shown)


def _times_of_parts(
    stream: Any, parts: int, delay: int, shown: list[int], end: int
) -> Callable[[int], int]:
    """The time at which each of so many equal parts begins: equal in frames where they are known, else in time."""
    start, index = stream.start_time or 0, stream.index_entries
    if shown:
        return lambda part: shown[min(part * len(shown) // parts, len(shown) - 1)]
    if len(index) == stream.frames:
        return lambda part: index[min(part * len(index) // parts, len(index) - 1)].timestamp + delay
    return lambda part: start + part * (end - start) // parts


def _nearest(index: Any, begin: int, middle: int, end: int) -> int:
    """The key frame between `begin` and `end` that is nearest to `middle`; that itself where there is none."""
    found = (index.search_timestamp(middle, backward=backward) for backward in (True, False))
    keys = [key for entry in found if entry >= 0 and begin <= (key := index[entry].timestamp) < end]
    return min(keys, key=lambda key: abs(key - middle), default=middle)

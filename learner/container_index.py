"""Finds frames by the index of key frames that a container has.

Of containers without one, see `learner.packet_index`.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import av.error

from learner.cost import is_dear, saves
from learner.frames import (
    NotSoughtError,
    running_time,
    stated_count,
    whole_frames,
    with_next_of,
)
from learner.safe_open import packets

# The names are FFmpeg's whole name strings, as `container.format.name` gives them.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")


def has_index(container: Any, stream: Any) -> bool:
    """Whether the container says where its key frames are, and how long it runs."""
    is_indexed = container.format.name in INDEXED and len(stream.index_entries)
    return bool(is_indexed and (container.duration or stream.duration))


def is_long(container: Any, stream: Any) -> bool:
    """Whether it costs much to decode all, by what the container states; false if it does not."""
    return is_dear(stated_count(container, stream), stream)


def sought(
    container: Any,
    stream: Any,
    count: int,
    exact: bool,
    stated_size: int = 0,
    *,
    with_next: bool = False,
) -> Iterator[tuple[Any, Any]]:
    """One frame of each of `count` equal parts of a long stream, in order, and the frame after it.

    The frame after it is None if it is not asked for, or if the stream ends there.

    It is the key frame that is nearest to the middle of the part, since that costs one decoding
    only; if the part has no key frame, the frame in its middle. If `exact`, it is always the frame
    in the middle: then the frames are the same as those of a reading in sequence. If there is a key
    frame between two frames that are wanted, it is jumped to; else reading goes on.

    `stated_size` is that of the file, in bytes, by its container; 0 if that does not say.

    Raises:
        NotSoughtError: all of the clip has to be read. Frames that were given before may be wrong.
    """
    try:
        yield from _sought(container, stream, count, exact, stated_size, with_next)
    except MemoryError:
        raise
    except (av.error.FFmpegError, ArithmeticError, IndexError, TypeError) as error:
        raise NotSoughtError from error


def _sought(
    container: Any, stream: Any, count: int, exact: bool, stated_size: int, with_next: bool
) -> Iterator[tuple[Any, Any]]:
    start = stream.start_time or 0
    index = stream.index_entries
    stated_end = start + round((container.duration or 0) / av.time_base / stream.time_base)
    delay = _delay(container, stream)
    container.seek(stated_end, stream=stream)
    times = running_time(container, stream, stated_size)
    # Not the count of the header, which may claim a billion; and a recording may begin at one hour.
    rate = float(stream.average_rate or 0)
    real = (times.last - start * float(stream.time_base)) * rate
    if times.are_short or not is_dear(real, stream) or not len(index):
        raise NotSoughtError
    shown = _shown(container, stream) if exact else []
    at = _times_of_parts(stream, 2 * count, delay, shown, round(times.last / stream.time_base))
    goals = [
        _goal(index, delay, [at(2 * part + half) for half in range(3)], exact)
        for part in range(count)
    ]
    if not saves(*_jumps_and_frames(goals, rate * float(stream.time_base)), real):
        raise NotSoughtError
    frames: Iterator[tuple[Any, Any]] = iter(())
    reached = None
    for goal in goals:
        if reached is None or goal.key > reached:
            container.seek(start if exact and reached is None else goal.key, stream=stream)
            found = whole_frames(container, stream)
            # To know the frame after one, it has to be decoded.
            frames = with_next_of(found) if with_next else ((frame, None) for frame in found)
        if exact and reached is None:
            # By its number and not by its time: so a packet that gives no frame is noticed.
            frames = itertools.islice(frames, len(shown) // (2 * count), None)
        later = (pair for pair in frames if pair[0].pts is not None and pair[0].pts >= goal.time)
        frame, following = next(later, (None, None))
        if frame is None or frame.pts > goal.latest:
            raise NotSoughtError
        yield frame, following
        reached = frame.pts


class _Goal(NamedTuple):
    """A frame that is wanted, by times in the time base of the stream."""

    time: int
    latest: int
    """A frame that is shown after this is another one."""
    key: int
    """The key frame from which it is decoded."""


def _goal(index: Any, delay: int, part: list[int], exact: bool) -> _Goal:
    """What is wanted of a part, of which the beginning, the middle and the end are given."""
    begin, middle, end = part
    time = middle
    if not exact:
        time = _nearest(index, begin - delay, middle - delay, end - delay) + delay
    key = index[max(0, index.search_timestamp(time - delay))].timestamp + delay
    return _Goal(time, time if exact else max(end, time), key)


def _jumps_and_frames(goals: list[_Goal], rate: float) -> tuple[int, float]:
    """How often is jumped, and how many frames are decoded, of `rate` frames a unit of time."""
    jumps = 0
    decoded = 0.0
    reached: int | None = None
    for goal in goals:
        if reached is None or goal.key > reached:
            jumps += 1
            decoded += 1 + max(goal.time - goal.key, 0) * rate
        else:
            decoded += max(goal.time - reached, 0) * rate
        reached = goal.time
    return jumps, decoded


def _shown(container: Any, stream: Any) -> list[int]:
    """When each frame is shown, by the packets: to read them costs little beside decoding."""
    container.seek(stream.start_time or 0, stream=stream)
    shown = [
        packet.pts for packet in packets(container, stream) if packet.size and not packet.is_discard
    ]
    if None in shown or len(set(shown)) < len(shown):
        raise NotSoughtError
    return sorted(shown)


def _delay(container: Any, stream: Any) -> int:
    """How much later a frame is shown than the index of a container, at its beginning, has it.

    MP4's index has the times at which frames are decoded, Matroska's those at which they are shown.
    """
    if container.format.name.startswith("matroska"):
        return 0
    if container.format.name == "avi":
        return (stream.start_time or 0) - int(stream.index_entries[0].timestamp)
    # Not the first frame that is shown: an edit list may hide those before it.
    for packet in packets(container, stream):
        return int(packet.pts - packet.dts)
    raise NotSoughtError


def _times_of_parts(
    stream: Any, parts: int, delay: int, shown: list[int], end: int
) -> Callable[[int], int]:
    """The time at which each of so many equal parts begins.

    Equal in their number of frames if the times of frames are known, else in their time.
    """
    start = stream.start_time or 0
    index = stream.index_entries
    if shown:
        return lambda part: shown[min(part * len(shown) // parts, len(shown) - 1)]
    if len(index) == stream.frames:
        hidden = max(index.search_timestamp(start - delay, backward=False, any_frame=True), 0)
        count = len(index) - hidden
        return lambda part: index[hidden + min(part * count // parts, count - 1)].timestamp + delay
    return lambda part: start + part * (end - start) // parts


def _nearest(index: Any, begin: int, middle: int, end: int) -> int:
    """The key frame between `begin` and `end` nearest to `middle`; `middle` if there is none."""
    found = (index.search_timestamp(middle, backward=backward) for backward in (True, False))
    keys = [key for entry in found if entry >= 0 and begin <= (key := index[entry].timestamp) < end]
    return min(keys, key=lambda key: abs(key - middle), default=middle)

"""Frames of an open stream: all that are whole, or a few of a long one by seeking."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import av.error

from learner.cost import is_dear, saves
from learner.safe_open import packets

# Of the running time that a container states, the share that may be missing before the file counts
# as cut short.
TOLERATED_GAP = 0.05
# Containers with an index of key frames. Of others, see `learner.packet_index`. The names are
# FFmpeg's whole name strings, as `container.format.name` gives them.
INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi")


class NotSoughtError(Exception):
    """The index and the frames do not agree, there is less than is stated, or it saves nothing.

    Then all of the clip has to be read.
    """

    def __init__(self, count: int = 0) -> None:
        super().__init__()
        self.count = count
        """How many packets of pictures there are, from the first key frame on; 0 if not known."""


class Times(NamedTuple):
    """The running time of a clip, in seconds."""

    stated: float
    """By its container; 0 if that does not say."""
    reached: float
    """By its packets."""
    stored: int
    """The number of packets of pictures, from the first key frame on."""
    first: float
    """When the first of these is shown."""
    last: float
    """When the last picture ends."""
    is_at_the_end: bool
    """Whether the last packet ends where the file ends, by its container. What is stated beyond
    that is how long the last picture is held."""

    @property
    def length(self) -> float:
        """Of the pictures."""
        return max(self.last - self.first, 0.0)

    @property
    def are_short(self) -> bool:
        """Whether more of it is missing than rounding can explain."""
        if self.is_at_the_end:
            return False
        return self.stated > 0 and self.reached < self.stated * (1 - TOLERATED_GAP)


@contextlib.contextmanager
def to_the_first_error() -> Iterator[None]:
    """An error of FFmpeg ends the block: the caller judges whether enough was read until then.

    Too little memory is not an error of the clip, and is raised.
    """
    try:
        yield
    except MemoryError:
        raise
    except av.error.FFmpegError:
        pass


def whole_frames(
    container: Any,
    stream: Any,
    whole: bool = False,
    note: Callable[[Any], None] | None = None,
) -> Iterator[Any]:
    """The frames that are as they were recorded, from the first key frame on.

    Those between a damaged frame and the next key frame refer to it, and are left out. So are those
    that lead up to the first key frame of a recording that begins between two: some decoders give
    grey pictures for them. If `whole` is true, the first frame need not be a key frame. `note` gets
    each packet that has a frame, before it is decoded.
    """
    for packet in packets(container, stream):
        # An empty packet: some containers repeat the picture before in this way. FFmpeg's decoders
        # refuse it.
        if not packet.size and packet.pts is not None:
            continue
        if note and packet.size and not packet.is_discard:
            note(packet)
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            # H.264's decoder raises this, too, if it gets no memory: then there is none here
            # either, and this raises a MemoryError.
            bytearray(4 * stream.width * stream.height)
            whole = False
            continue
        # An edit list hides this key frame, and the next frames refer to it.
        whole = whole or (packet.is_discard and packet.is_keyframe)
        for frame in frames:
            whole = (whole or frame.key_frame) and not frame.is_corrupt
            if whole:
                yield frame


def running_time(container: Any, stream: Any, stated_end: int) -> Times:
    """The time that is stated, and the time that packets reach from the container's position on.

    If the stream of pictures states its own time, its own packets alone are compared with that.
    Else the container's time counts: when the longest of all streams ends.

    Args:
        container: An open container.
        stream: Its stream of pictures.
        stated_end: Where the file ends by its container, in bytes; 0 if that does not say.
    """
    own = float(stream.duration * stream.time_base) if stream.duration else 0.0
    # Some formats do not say how long a picture is shown.
    shown = float(1 / stream.average_rate) if stream.average_rate else 0.0
    first = float("inf")
    last = 0.0
    stored = 0
    end = 0.0
    last_byte = 0
    has_key = False
    with to_the_first_error():
        for packet in packets(container, *([stream] if own else [])):
            if not packet.size or packet.is_discard:
                continue
            last_byte = max(last_byte, (packet.pos or 0) + packet.size)
            is_picture = packet.stream.index == stream.index
            if is_picture and packet.is_keyframe and not has_key:
                # What leads up to it cannot be decoded: the recording began in the middle.
                has_key = True
                stored = 0
                first = float("inf")
            stored += is_picture
            when = packet.pts if packet.pts is not None else packet.dts
            if when is None:
                continue
            begin = float(when * packet.time_base)
            lasts = float(packet.duration * packet.time_base) if packet.duration else 0.0
            until = begin + (lasts or (shown if is_picture else 0.0))
            end = max(end, until)
            if is_picture:
                first = min(first, begin)
                last = max(last, until)
    is_at_the_end = 0 < stated_end * (1 - TOLERATED_GAP) < last_byte
    start = float((stream.start_time or 0) * stream.time_base)
    stated, reached = own, last
    if not own:
        start = (container.start_time or 0) / av.time_base
        stated, reached = (container.duration or 0) / av.time_base, end
    if _counts_from_zero(container, stream):
        stated = max(stated - start, 0.0)
    return Times(stated, reached - start, stored, first, last, is_at_the_end)


def _counts_from_zero(container: Any, stream: Any) -> bool:
    """Whether the time that is stated is when the clip ends, wherever its first picture is.

    So it is in Matroska, in ASF, and in MP4 of fragments, whose header counts no frames. Other
    containers state the time from the first picture to the last.
    """
    is_of_fragments = container.format.name.startswith("mov") and not stream.frames
    return is_of_fragments or container.format.name.startswith(("matroska", "asf"))


def has_index(container: Any, stream: Any) -> bool:
    """Whether the container says where its key frames are, and how long it runs."""
    is_indexed = container.format.name in INDEXED and len(stream.index_entries)
    return bool(is_indexed and (container.duration or stream.duration))


def is_long(container: Any, stream: Any) -> bool:
    """Whether it costs much to decode all, by what the container states; false if it does not."""
    return is_dear(stated_count(container, stream), stream)


def stated_count(container: Any, stream: Any) -> float:
    """How many frames a clip has by its container: often wrong. 0 if that does not say."""
    seconds = (container.duration or 0) / av.time_base
    if stream.duration:
        seconds = stream.duration * stream.time_base
    return float(stream.frames or seconds * (stream.average_rate or 0))


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
    except (av.error.FFmpegError, ArithmeticError, IndexError) as error:
        raise NotSoughtError from error


def _sought(
    container: Any, stream: Any, count: int, exact: bool, stated_size: int, with_next: bool
) -> Iterator[tuple[Any, Any]]:
    start = stream.start_time or 0
    index = stream.index_entries
    stated_end = start + round((container.duration or 0) / av.time_base / stream.time_base)
    container.seek(stated_end, stream=stream)
    times = running_time(container, stream, stated_size)
    # Not the count of the header, which may claim a billion; and a recording may begin at one hour.
    rate = float(stream.average_rate or 0)
    real = (times.last - start * float(stream.time_base)) * rate
    if times.are_short or not is_dear(real, stream) or not len(index):
        raise NotSoughtError
    # MP4's index has the times at which frames are decoded, Matroska's the times at which they are
    # shown.
    delay = 0 if container.format.name.startswith("matroska") else start - index[0].timestamp
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


def with_next_of(frames: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Each frame with the one after it, which is None at the end."""
    return itertools.pairwise(itertools.chain(frames, [None]))


def _shown(container: Any, stream: Any) -> list[int]:
    """When each frame is shown, by the packets: to read them costs little beside decoding."""
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
    """The time at which each of so many equal parts begins.

    Equal in their number of frames if the times of frames are known, else in their time.
    """
    start = stream.start_time or 0
    index = stream.index_entries
    if shown:
        return lambda part: shown[min(part * len(shown) // parts, len(shown) - 1)]
    if len(index) == stream.frames:
        return lambda part: index[min(part * len(index) // parts, len(index) - 1)].timestamp + delay
    return lambda part: start + part * (end - start) // parts


def _nearest(index: Any, begin: int, middle: int, end: int) -> int:
    """The key frame between `begin` and `end` nearest to `middle`; `middle` if there is none."""
    found = (index.search_timestamp(middle, backward=backward) for backward in (True, False))
    keys = [key for entry in found if entry >= 0 and begin <= (key := index[entry].timestamp) < end]
    return min(keys, key=lambda key: abs(key - middle), default=middle)

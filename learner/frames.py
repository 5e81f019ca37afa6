"""Of an open stream: the frames that are whole, and how long it runs."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import av
import av.error

from learner.safe_open import packets

# Of the running time that a container states, the share that may be missing before the file counts
# as cut short.
TOLERATED_GAP = 0.05


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
    if container.format.name == "asf":
        own = 0.0  # FFmpeg gives each stream the time of the file
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


def stated_count(container: Any, stream: Any) -> float:
    """How many frames a clip has by its container: often wrong. 0 if that does not say."""
    seconds = (container.duration or 0) / av.time_base
    if stream.duration:
        seconds = stream.duration * stream.time_base
    return float(stream.frames or seconds * (stream.average_rate or 0))


def with_next_of(frames: Iterator[Any]) -> Iterator[tuple[Any, Any]]:
    """Each frame with the one after it, which is None at the end."""
    return itertools.pairwise(itertools.chain(frames, [None]))

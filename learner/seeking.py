"""A few frames of a long clip, by the index of its container or by its packets."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av.error

from learner.container_index import has_index, is_long, sought
from learner.cost import is_dear, saves
from learner.frames import NotSoughtError, running_time, stated_count
from learner.packet_index import frames_at, is_placed_by_bytes, packet_index
from learner.read_share import There
from learner.safe_open import packets
from learner.streams import is_still

# To read the packets of a smaller file for nothing costs little: it may be long if it does not say
# how long it is, or if its clock jumps.
LARGE = 32_000_000  # bytes
# So many packets are read to see whether MXF finds them again.
SOME = 100


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a long clip."""

    frames: int
    """One frame of each of so many equal parts."""
    exact: bool
    """The middle frame of each part, not the key frame that is nearest to it."""
    with_next: bool
    """The frame after each is decoded, too."""


def seeks(container: Any, stream: Any, there: There) -> bool:
    """Whether a few frames are to be sought, as far as that is known before its packets are read.

    A file that is cut short is read whole, unless it is a stream without a beginning and an end.
    """
    if is_still(stream) or (there.share < 1 and not is_placed_by_bytes(container)):
        return False
    if has_index(container, stream):
        return is_long(container, stream)
    count = stated_count(container, stream)
    return not count or is_dear(count, stream) or there.size > LARGE


def finds_times(container: Any, stream: Any) -> bool:
    """Whether jumps lead to where the container says: else frames get wrong times there.

    MXF has its index at the end. If that is missing, FFmpeg guesses places by the bit rate.

    Args:
        container: An open container at its beginning; it is moved.
        stream: Its stream of pictures.
    """
    if container.format.name != "mxf":
        return True
    first = itertools.islice(packets(container, stream), SOME)
    keys = [packet for packet in first if packet.is_keyframe and packet.pts is not None]
    for key in keys:
        container.seek(key.pts, stream=stream)
        found = next(packets(container, stream), None)
        if found is None or found.pos != key.pos:
            return False
    return bool(keys)


def pairs(container: Any, stream: Any, wanted: Wanted, there: There) -> Iterator[tuple[Any, Any]]:
    """One frame of each part, and the frame after it; see `learner.container_index.sought`.

    Raises:
        NotSoughtError: all of the clip has to be read. Frames that were given before may be wrong.
    """
    if has_index(container, stream):
        yield from sought(
            container,
            stream,
            wanted.frames,
            wanted.exact,
            there.stated,
            with_next=wanted.with_next,
        )
    else:
        yield from _by_packets(container, stream, wanted, there)


def _by_packets(
    container: Any, stream: Any, wanted: Wanted, there: There
) -> Iterator[tuple[Any, Any]]:
    index = packet_index(container, stream)
    if not index.keys:
        raise NotSoughtError
    if not is_dear(index.count, stream):
        raise NotSoughtError(index.count)
    numbers = index.middles(wanted.frames) if wanted.exact else index.near(wanted.frames)
    if not saves(*index.jumps_and_frames(numbers), index.count):
        raise NotSoughtError(index.count)
    if not is_placed_by_bytes(container):
        _require_all(container, stream, there)
    yield from frames_at(
        container, stream, index, numbers, is_exact=wanted.exact, with_next=wanted.with_next
    )


def _require_all(container: Any, stream: Any, there: There) -> None:
    """Check that a clip runs as long as its container states.

    Raises:
        NotSoughtError: it does not.
    """
    try:
        container.seek(stream.start_time or 0, stream=stream)
    except av.error.FFmpegError as error:
        raise NotSoughtError from error
    if running_time(container, stream, there.stated).are_short:
        raise NotSoughtError

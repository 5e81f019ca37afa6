"""Finds frames in containers that have no index: their packets are read once, and none is decoded.

Transport, program and raw streams have none. To read the packets of an hour of them takes seconds.
A clock that wraps or jumps back does no harm: frames are known by the number of their packet, and a
key frame that is jumped to is known by its bytes.
"""

import zlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import av.error

from learner.frames import NotSoughtError, to_the_first_error, with_next_of
from learner.safe_open import packets

# Their demuxers find no time, or land behind it: they are positioned by bytes.
BY_BYTES = ("mpegts", "mpeg")
NO_TIMES = 0x80  # FFmpeg's AVFMT_NOTIMESTAMPS: raw streams
# So many packets are read before a key frame, and itself.
BEFORE = 4
# So many packets may lie between the place that was jumped to and the key frame.
NEAR = 500
# So many frames more than packets may come between a key frame and one that is wanted.
REORDERED = 32


class Key(NamedTuple):
    """The packet of a key frame."""

    number: int
    """Among the packets of pictures, from 0."""
    position: int | None
    """In bytes, where reading has to begin: some packets before it, since a demuxer that begins in
    the middle of a frame gives the next one a wrong time. None if the demuxer does not say."""
    size: int
    """In bytes."""
    checksum: int
    """CRC-32 of its bytes."""
    pts: int | None


@dataclass(frozen=True)
class PacketIndex:
    """The packets of a stream of pictures, as they are stored from the first key frame on."""

    times: list[int | None]
    """When each is shown, in the stream's time base; None if it is not known."""
    keys: list[Key]

    @property
    def count(self) -> int:
        """How many packets there are: one a frame, or two if it is stored as two fields."""
        return len(self.times)

    def key_of(self, number: int) -> Key:
        """The key frame from which this packet can be decoded."""
        at = bisect_right(self.keys, number, key=lambda key: key.number) - 1
        key = self.keys[max(at, 0)]
        if at > 0 and key.number != number and _is_before(self.times[number], key.pts):
            return self.keys[at - 1]
        return key

    def near(self, parts: int) -> list[int]:
        """The key frame of each of `parts` equal parts that is nearest to the middle of the part.

        If a part has none, the number in its middle.
        """
        numbers = [key.number for key in self.keys]
        wanted = []
        for part in range(parts):
            begin = 2 * part * self.count // (2 * parts)
            middle = (2 * part + 1) * self.count // (2 * parts)
            end = (2 * part + 2) * self.count // (2 * parts)
            inside = numbers[bisect_left(numbers, begin) : bisect_left(numbers, end)]
            distances = [(abs(number - middle), number) for number in inside]
            wanted.append(min(distances)[1] if distances else middle)
        return wanted

    def middles(self, parts: int) -> list[int]:
        """The packet of the frame in the middle of each of `parts` equal parts, as they are shown.

        Raises:
            NotSoughtError: the order in which frames are shown is not known, or the clock jumps.
        """
        known = [time for time in self.times if time is not None]
        starts = [key.pts for key in self.keys if key.pts is not None]
        is_steady = len(starts) == len(self.keys) and starts == sorted(set(starts))
        if not is_steady or len(set(known)) < self.count or min(known) < starts[0]:
            raise NotSoughtError
        order = sorted(range(self.count), key=known.__getitem__)
        return [order[(2 * part + 1) * self.count // (2 * parts)] for part in range(parts)]

    def jumps_and_frames(self, numbers: Sequence[int]) -> tuple[int, int]:
        """How often is jumped for the frames of these packets, and how many are decoded."""
        jumps = 0
        decoded = 0
        reached = -1
        for number in numbers:
            key = self.key_of(number)
            jumps += key.number > reached
            decoded += max(number - max(key.number, reached + 1) + 1, 0)
            reached = max(reached, number)
        return jumps, decoded


def packet_index(container: Any, stream: Any) -> PacketIndex:
    """The packets of `stream`, from the container's position to its end, or to the first error."""
    times: list[int | None] = []
    keys: list[Key] = []
    before: deque[int] = deque(maxlen=BEFORE)
    with to_the_first_error():
        for packet in packets(container, stream):
            if not packet.size or packet.is_discard:
                continue
            if packet.pos is not None:
                before.append(packet.pos)
            if packet.is_keyframe:
                position = before[0] if before else None
                checksum = zlib.crc32(packet)
                keys.append(Key(len(times), position, packet.size, checksum, packet.pts))
            if keys:
                times.append(packet.pts)
    return PacketIndex(times, keys)


def is_placed_by_bytes(container: Any) -> bool:
    """Whether it is a stream that is positioned by bytes: transport, program or raw."""
    return container.format.name in BY_BYTES or bool(container.format.flags & NO_TIMES)


def frames_at(
    container: Any,
    stream: Any,
    index: PacketIndex,
    numbers: Sequence[int],
    *,
    is_exact: bool = False,
    with_next: bool = False,
) -> Iterator[tuple[Any, Any]]:
    """The frames of these packets, each with the frame after it.

    A key frame between two of them is jumped to; else decoding goes on.

    Args:
        container: An open container; it is moved.
        stream: Its stream of pictures.
        index: The packets of that stream.
        numbers: Those of the packets, ascending.
        is_exact: Whether it must be the frame of that packet; else the next one may be given, if
            the packet has no frame of its own.
        with_next: Whether the frame after each is decoded; else None is given for it.

    Raises:
        NotSoughtError: the file is damaged there, or its demuxer does not find the place. Frames
            that were given before are right.
    """
    run: _Run | None = None
    frames: Iterator[tuple[Any, Any]] = iter(())
    for number in numbers:
        key = index.key_of(number)
        if run is None or key.number > run.fed or number < run.given:
            run = _Run(container, stream, key)
            found = run.frames()
            frames = with_next_of(found) if with_next else ((frame, None) for frame in found)
        pair = run.pair_of(number, frames, is_exact=is_exact)
        yield pair


class _Run:
    """Decodes from a key frame on, without a jump."""

    def __init__(self, container: Any, stream: Any, key: Key) -> None:
        self._container = container
        self._stream = stream
        self._key = key
        self._times: dict[int, int | None] = {}
        self._frames = 0
        self._last: Any = None
        self.fed = key.number
        """The number of the last packet that the decoder got."""
        self.given = key.number
        """The number of the last packet whose frame was asked for."""

    def frames(self) -> Iterator[Any]:
        """The frames, the first of them the key frame."""
        try:
            number = self._key.number
            for packet in self._packets():
                if packet.size:
                    self.fed = number
                    self._times[number] = packet.pts
                    number += 1
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise NotSoughtError
                    if not self._frames and not frame.key_frame:
                        continue  # it leads up to the key frame, and refers to one before
                    self._frames += 1
                    yield frame
        except MemoryError:
            raise
        except (av.error.FFmpegError, TypeError, IndexError) as error:
            raise NotSoughtError from error

    def pair_of(
        self, number: int, frames: Iterator[tuple[Any, Any]], *, is_exact: bool
    ) -> tuple[Any, Any]:
        """The frame of a packet, and the one after it, out of the pairs that come."""
        self.given = number
        for given, pair in enumerate(frames):
            if self._is_it(pair[0], number, is_exact=is_exact):
                return pair
            if given > number - self._key.number + REORDERED:
                break
        raise NotSoughtError

    def _is_it(self, frame: Any, number: int, *, is_exact: bool) -> bool:
        if number == self._key.number:
            # Some recordings have no whole key frames: their pictures are renewed part by part.
            if frame.pts not in (None, self._times[number]) or self.fed > number + REORDERED:
                raise NotSoughtError
            return True
        if number not in self._times:
            return False
        time = self._times[number]
        if time is None or frame.pts is None:
            # Raw streams say nothing of times. Their frames are counted.
            return not is_exact and self._frames > number - self._key.number
        return bool(frame.pts == time if is_exact else frame.pts >= time)

    def _packets(self) -> Iterator[Any]:
        """Those from the key frame's on; the last one is empty."""
        key = self._key
        if is_placed_by_bytes(self._container):
            self._container.seek(key.position, unsupported_byte_offset=True, stream=self._stream)
        else:
            self._container.seek(key.pts, stream=self._stream)
        has_begun = False
        for tried, packet in enumerate(packets(self._container, self._stream)):
            is_key = packet.size == key.size and zlib.crc32(packet) == key.checksum
            has_begun = has_begun or is_key
            if has_begun and not packet.is_discard:
                yield packet
            elif tried > NEAR:
                break
        if not has_begun:
            raise NotSoughtError


def _is_before(time: int | None, other: int | None) -> bool:
    return time is not None and other is not None and time < other

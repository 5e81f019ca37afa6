"""What a decoder process sends back: a head of fixed size, a text, and the frames, as plain data.

A strange file may have taken over the decoder that read it. So the daemon checks every field. It
takes no size from a decoder but that of a short text; all other sizes follow from the clip spec.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from daemon.home.texts import shortened
from learner.colours import Remark
from learner.errors import VidwatchError
from learner.motion import MOTION_FEATURES
from learner.recording import LONGEST_TEXT
from learner.safe_open import VideoError
from learner.spec import ClipSpec
from learner.video import DECODER, Clip

_HEAD = struct.Struct("<8sQBBHiIdqiBd32s")
# Another one whenever what is sent changes: an upgrade may come while the daemon runs.
_MAGIC = b"vwreply2"
_NO_TIME = -(2**63)
_NO_STREAM = -1
_MOST_STREAMS = 1000  # FFmpeg opens no file with more
_NO_MOVEMENT = -1.0
# What was done to colours, by the number that is sent.
_COLOURS: tuple[Remark | None, ...] = (None, "hdr", "nearest")
_MOST_TEXT = 2000  # bytes
_MOST_SHOWN = 1000  # characters


class Kind(IntEnum):
    """What a reply says."""

    READY = 0
    """The process is prepared. Its first reply, and never another one."""
    CLIP = 1
    HASH = 2
    """The SHA-256 of a file, and nothing else."""
    REFUSED = 3
    """A `VidwatchError`."""
    NOT_READ = 4
    """An `OSError`."""
    NO_MEMORY = 5
    ERROR = 6
    """Any other error."""


@dataclass(frozen=True)
class Failure:
    """Why a file gave neither a clip nor a hash."""

    kind: Kind
    """One of the last four."""
    text: str = ""
    errno: int = 0
    """Of an `OSError`; 0 if it has none."""
    cut_short: bool = False
    """As `VideoError.cut_short`."""

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """The failure that an error in a decoder is."""
        if isinstance(error, VidwatchError):
            is_cut_short = isinstance(error, VideoError) and error.cut_short
            return cls(Kind.REFUSED, str(error), cut_short=is_cut_short)
        if isinstance(error, OSError):
            number = error.errno if isinstance(error.errno, int) else 0
            number = number if abs(number) < 2**31 else 0
            return cls(Kind.NOT_READ, str(error.strerror or error), number)
        if isinstance(error, MemoryError):
            return cls(Kind.NO_MEMORY)
        return cls(Kind.ERROR, f"{type(error).__name__}: {error}")


class Head(NamedTuple):
    """What a reply begins with. A field that its kind does not need has its default."""

    token: int
    """Of the job."""
    kind: int
    cut_short: int = 0
    """0 or 1."""
    length: int = 0
    """Bytes of the text that follows."""
    errno: int = 0
    frames_read: int = 0
    read_share: float = 0.0
    recorded: int = _NO_TIME
    """As `Clip.recorded`; `_NO_TIME` if that is not known."""
    stream: int = _NO_STREAM
    """As `Clip.stream`; `_NO_STREAM` if that is None."""
    colours: int = 0
    """As `Clip.colours`, by its place in `_COLOURS`."""
    movement: float = _NO_MOVEMENT
    """As `Clip.movement`; `_NO_MOVEMENT` if that is None."""
    sha256: bytes = b""

    def to_bytes(self) -> bytes:
        """As it is sent."""
        return _HEAD.pack(_MAGIC, *self)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray) -> Self:
        """A head that was sent.

        Raises:
            BadReplyError: it is none.
        """
        magic, *fields = _HEAD.unpack(data)
        head = cls(*fields)
        if magic != _MAGIC or head.kind not in list(Kind) or head.cut_short > 1:
            raise BadReplyError
        if head.length > (0 if head.kind in (Kind.READY, Kind.HASH) else _MOST_TEXT):
            raise BadReplyError
        is_failure = head.kind not in (Kind.READY, Kind.CLIP, Kind.HASH)
        if not is_failure and (head.cut_short or head.errno):
            raise BadReplyError
        return head


class BadReplyError(Exception):
    """A decoder sent something else than a reply."""


class _Pipe(Protocol):
    def write(self, data: Any, /) -> int | None: ...


def send(pipe: _Pipe, token: int, reply: Clip | str | Failure | None) -> None:
    """Write a reply, in the decoder.

    Args:
        pipe: Where the daemon reads.
        token: That of the job.
        reply: A text is a SHA-256 in hexadecimal; None says that the process is ready.
    """
    if reply is None:
        _write(pipe, Head(token, Kind.READY).to_bytes())
    elif isinstance(reply, Failure):
        text = _cut(reply.text)
        head = Head(token, reply.kind, int(reply.cut_short), len(text), reply.errno)
        _write(pipe, head.to_bytes() + text)
    elif isinstance(reply, str):
        _write(pipe, Head(token, Kind.HASH, sha256=bytes.fromhex(reply)).to_bytes())
    else:
        camera = _cut(reply.camera or "")
        head = Head(
            token,
            Kind.CLIP,
            length=len(camera),
            frames_read=reply.frames_read,
            read_share=reply.read_share,
            recorded=_NO_TIME if reply.recorded is None else reply.recorded,
            stream=_NO_STREAM if reply.stream is None else reply.stream,
            colours=_COLOURS.index(reply.colours),
            movement=_NO_MOVEMENT if reply.movement is None else reply.movement,
            sha256=bytes.fromhex(reply.sha256),
        )
        _write(pipe, head.to_bytes() + camera)
        send_arrays(pipe, reply)


def send_arrays(pipe: _Pipe, clip: Clip) -> None:
    """Write the frames of a clip, and its motion if it was measured."""
    _write(pipe, np.ascontiguousarray(clip.frames, np.uint8))
    if clip.motion is not None:
        _write(pipe, np.ascontiguousarray(clip.motion, np.float32))


def receive(
    read: Callable[[memoryview], None], token: int, spec: ClipSpec
) -> Clip | str | Failure | None:
    """The next reply of a decoder; a text is a SHA-256. None says that it is ready.

    Args:
        read: Fills a buffer with the next bytes.
        token: Of the job that was given: a reply to another one does not count.
        spec: Which frames were asked for. No reply is larger than it says.

    Raises:
        BadReplyError: it is none.
    """
    data = bytearray(_HEAD.size)
    read(memoryview(data))
    head = Head.from_bytes(data)
    if head.token != token:
        raise BadReplyError
    if head.kind == Kind.READY:
        return None
    if head.kind == Kind.HASH:
        return head.sha256.hex()
    text = bytearray(head.length)
    read(memoryview(text))
    shown = shortened(text.decode("utf-8", "replace"), _MOST_SHOWN)
    if head.kind != Kind.CLIP:
        return Failure(
            Kind(head.kind), shown or "no reason given", head.errno, bool(head.cut_short)
        )
    is_count = 1 <= head.frames_read <= spec.frames
    is_share = 0 < head.read_share <= 1  # not if it is no number
    is_stream = _NO_STREAM <= head.stream < _MOST_STREAMS
    is_movement = head.movement == _NO_MOVEMENT or 0 <= head.movement <= 1
    if not (is_count and is_share and is_stream and is_movement):
        raise BadReplyError
    if head.colours >= len(_COLOURS):
        raise BadReplyError
    frames, motion = _receive_arrays(read, spec)
    return Clip(
        frames,
        frames_asked=spec.frames,
        frames_read=head.frames_read,
        decoder=DECODER,
        sha256=head.sha256.hex(),
        read_share=head.read_share,
        motion=motion,
        recorded=None if head.recorded == _NO_TIME else head.recorded,
        camera=shown[:LONGEST_TEXT] or None,
        stream=None if head.stream == _NO_STREAM else head.stream,
        colours=_COLOURS[head.colours],
        movement=None if head.movement == _NO_MOVEMENT else head.movement,
    )


def _receive_arrays(
    read: Callable[[memoryview], None], spec: ClipSpec
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.float32]] | None]:
    frames = np.empty((spec.frames, spec.size, spec.size, 3), np.uint8)
    read(frames.data.cast("B"))
    if not spec.motion:
        return frames, None
    motion = np.empty((spec.frames, MOTION_FEATURES), np.float32)
    read(motion.data.cast("B"))
    if not np.isfinite(motion).all():
        raise BadReplyError
    return frames, motion


def _write(pipe: _Pipe, data: Any) -> None:
    left = memoryview(data).cast("B")
    while left:
        left = left[pipe.write(left) or 0 :]


def _cut(text: str) -> bytes:
    """The text in UTF-8; not all of a very long one."""
    return text.encode("utf-8", "backslashreplace")[:_MOST_TEXT]

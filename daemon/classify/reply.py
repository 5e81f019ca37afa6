"""What a decoder process sends back: a head of fixed size, a text, and the frames, as plain data.

A strange file may have taken over the decoder that read it. So the daemon checks every field. It
takes no size from a decoder but that of a short text; all other sizes follow from the clip spec.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from daemon.home.texts import shortened
from learner.errors import VidwatchError
from learner.motion import MOTION_FEATURES
from learner.recording import LONGEST_TEXT
from learner.safe_open import VideoError
from learner.spec import ClipSpec
from learner.video import DECODER, Clip

# Magic, token, kind, cut short, bytes of text, errno, frames read, read share, time, SHA-256.
_HEAD = struct.Struct("<8sQBBHiIdq32s")
# Another one whenever what is sent changes: an upgrade may come while the daemon runs.
_MAGIC = b"vwreply1"
_NO_TIME = -(2**63)
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
        _write(pipe, _HEAD.pack(_MAGIC, token, Kind.READY, 0, 0, 0, 0, 0.0, _NO_TIME, b""))
    elif isinstance(reply, Failure):
        text = _cut(reply.text)
        numbers = (reply.kind, reply.cut_short, len(text), reply.errno, 0, 0.0, _NO_TIME)
        _write(pipe, _HEAD.pack(_MAGIC, token, *numbers, b"") + text)
    elif isinstance(reply, str):
        fields = (Kind.HASH, 0, 0, 0, 0, 0.0, _NO_TIME)
        _write(pipe, _HEAD.pack(_MAGIC, token, *fields, bytes.fromhex(reply)))
    else:
        camera = _cut(reply.camera or "")
        recorded = _NO_TIME if reply.recorded is None else reply.recorded
        fields = (Kind.CLIP, 0, len(camera), 0, reply.frames_read, reply.read_share, recorded)
        _write(pipe, _HEAD.pack(_MAGIC, token, *fields, bytes.fromhex(reply.sha256)) + camera)
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
    head = bytearray(_HEAD.size)
    read(memoryview(head))
    magic, found, number, cut_short, length, code, *rest = _HEAD.unpack(head)
    frames_read, share, recorded, sha256 = rest
    if (magic, found) != (_MAGIC, token):
        raise BadReplyError
    if number not in list(Kind) or cut_short > 1 or length > _MOST_TEXT:
        raise BadReplyError
    kind = Kind(number)
    if kind in (Kind.READY, Kind.CLIP, Kind.HASH) and (cut_short or code):
        raise BadReplyError
    if kind in (Kind.READY, Kind.HASH) and length:
        raise BadReplyError
    if kind == Kind.READY:
        return None
    hashed: str = sha256.hex()
    if kind == Kind.HASH:
        return hashed
    text = _receive_text(read, length, _MOST_SHOWN if kind != Kind.CLIP else LONGEST_TEXT)
    if kind != Kind.CLIP:
        return Failure(kind, text or "no reason given", code, bool(cut_short))
    if not 1 <= frames_read <= spec.frames or not 0 < share <= 1:  # NaN is neither
        raise BadReplyError
    frames, motion = _receive_arrays(read, spec)
    return Clip(
        frames=frames,
        frames_asked=spec.frames,
        frames_read=frames_read,
        decoder=DECODER,
        sha256=hashed,
        read_share=share,
        motion=motion,
        recorded=None if recorded == _NO_TIME else recorded,
        camera=text or None,
    )


def _receive_text(read: Callable[[memoryview], None], length: int, most: int) -> str:
    """A text of so many bytes, in at most so many characters that can be shown."""
    text = bytearray(length)
    read(memoryview(text))
    return shortened(text.decode("utf-8", "replace"), most)


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

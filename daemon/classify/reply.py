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

from daemon.classify.job import Orders
from daemon.home.texts import shortened
from learner.cutting import Window
from learner.errors import VidwatchError
from learner.motion import MOTION_FEATURES
from learner.recording import LONGEST_TEXT
from learner.safe_open import VideoError
from learner.spec import ClipSpec
from learner.video import DECODER, Clip
from learner.window_plan import MOST_WINDOWS, WindowPlan
from learner.windows import Long, Piece

_HEAD = struct.Struct("<8sQBBHiIdq32s")
# Another one whenever what is sent changes: an upgrade may come while the daemon runs.
_MAGIC = b"vwreply2"
_SECONDS = struct.Struct("<d")
_PIECE = struct.Struct("<HB")  # how many windows, and whether they are the last ones
_WINDOW = struct.Struct("<IdH")  # its number, when it ends, and how many frames were read
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
    LONG = 7
    """A long video, which is to be read in windows."""
    PIECE = 8
    """Some windows of it."""


_FAILURES = (Kind.REFUSED, Kind.NOT_READ, Kind.NO_MEMORY, Kind.ERROR)


@dataclass(frozen=True)
class Failure:
    """Why a file gave neither a clip nor a hash."""

    kind: Kind
    """One of `_FAILURES`."""
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


Reply = Clip | Long | Piece | str | Failure
"""What a decoder sends of a file; a text is a SHA-256."""


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
        has_text = head.kind not in (Kind.READY, Kind.HASH, Kind.PIECE)
        if head.length > (_MOST_TEXT if has_text else 0):
            raise BadReplyError
        if head.kind not in _FAILURES and (head.cut_short or head.errno):
            raise BadReplyError
        return head


class BadReplyError(Exception):
    """A decoder sent something else than a reply."""


class _Pipe(Protocol):
    def write(self, data: Any, /) -> int | None: ...


def send(pipe: _Pipe, token: int, reply: Reply | None) -> None:
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
    elif isinstance(reply, Piece):
        _send_piece(pipe, token, reply)
    elif isinstance(reply, Long):
        _send_head(pipe, token, Kind.LONG, reply, 0)
        _write(pipe, _SECONDS.pack(reply.seconds))
    else:
        _send_head(pipe, token, Kind.CLIP, reply, reply.frames_read)
        send_arrays(pipe, reply)


def _send_head(pipe: _Pipe, token: int, kind: Kind, reply: Clip | Long, frames_read: int) -> None:
    """Write what a clip and a long video have in common."""
    camera = _cut(reply.camera or "")
    head = Head(
        token,
        kind,
        length=len(camera),
        frames_read=frames_read,
        read_share=reply.read_share,
        recorded=_NO_TIME if reply.recorded is None else reply.recorded,
        sha256=bytes.fromhex(reply.sha256),
    )
    _write(pipe, head.to_bytes() + camera)


def _send_piece(pipe: _Pipe, token: int, piece: Piece) -> None:
    head = Head(token, Kind.PIECE).to_bytes()
    _write(pipe, head + _PIECE.pack(len(piece.windows), piece.is_last))
    for window in piece.windows:
        _write(pipe, _WINDOW.pack(window.number, window.end, window.frames_read))
        send_arrays(pipe, window)


def send_arrays(pipe: _Pipe, clip: Clip) -> None:
    """Write the frames of a clip, and its motion if it was measured."""
    _write(pipe, np.ascontiguousarray(clip.frames, np.uint8))
    if clip.motion is not None:
        _write(pipe, np.ascontiguousarray(clip.motion, np.float32))


def receive(
    read: Callable[[memoryview], None], token: int, orders: Orders, first: int = 0
) -> Reply | None:
    """The next reply of a decoder; a text is a SHA-256. None says that it is ready.

    Args:
        read: Fills a buffer with the next bytes.
        token: Of the job that was given: a reply to another one does not count.
        orders: Which frames were asked for, and which windows. No reply is larger than they say.
        first: The first window that was asked for.

    Raises:
        BadReplyError: it is none.
    """
    head = Head.from_bytes(_received(read, _HEAD.size))
    spec = orders.spec
    if head.token != token:
        raise BadReplyError
    if head.kind == Kind.READY:
        return None
    if head.kind == Kind.HASH:
        return head.sha256.hex()
    if head.kind == Kind.PIECE:
        return _receive_piece(read, spec, orders.windows, first)
    text = _received(read, head.length)
    shown = shortened(text.decode("utf-8", "replace"), _MOST_SHOWN)
    if head.kind in _FAILURES:
        return Failure(
            Kind(head.kind), shown or "no reason given", head.errno, bool(head.cut_short)
        )
    if not 0 < head.read_share <= 1:  # also if it is no number
        raise BadReplyError
    sha256 = head.sha256.hex()
    recorded = None if head.recorded == _NO_TIME else head.recorded
    camera = shown[:LONGEST_TEXT] or None
    if head.kind == Kind.LONG:
        (seconds,) = _SECONDS.unpack(_received(read, _SECONDS.size))
        if orders.windows is None or not orders.windows_from < seconds < np.inf:
            raise BadReplyError
        return Long(sha256, seconds, spec.frames, head.read_share, recorded, camera)
    if not 1 <= head.frames_read <= spec.frames:
        raise BadReplyError
    frames, motion = _receive_arrays(read, spec)
    return Clip(
        frames,
        frames_asked=spec.frames,
        frames_read=head.frames_read,
        decoder=DECODER,
        sha256=sha256,
        read_share=head.read_share,
        motion=motion,
        recorded=recorded,
        camera=camera,
    )


def _receive_piece(
    read: Callable[[memoryview], None], spec: ClipSpec, plan: WindowPlan | None, first: int
) -> Piece:
    count, is_last = _PIECE.unpack(_received(read, _PIECE.size))
    if plan is None or is_last > 1 or count > plan.at_once or (not count and not is_last):
        raise BadReplyError
    windows: list[Window] = []
    for _ in range(count):
        number, end, frames_read = _WINDOW.unpack(_received(read, _WINDOW.size))
        least = windows[-1].number + 1 if windows else first
        start = float(plan.begin(number))
        longest = plan.seconds + plan.step
        is_number = least <= number < MOST_WINDOWS
        # Also if the end is no number.
        if not is_number or not 0 <= end - start <= longest or not 1 <= frames_read <= spec.frames:
            raise BadReplyError
        frames, motion = _receive_arrays(read, spec)
        window = Window(
            frames,
            frames_asked=spec.frames,
            frames_read=frames_read,
            decoder=DECODER,
            sha256="",
            motion=motion,
            number=number,
            start=start,
            end=end,
        )
        windows.append(window)
    return Piece(tuple(windows), bool(is_last))


def _received(read: Callable[[memoryview], None], size: int) -> bytearray:
    data = bytearray(size)
    read(memoryview(data))
    return data


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

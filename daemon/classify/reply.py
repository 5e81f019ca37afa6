"""What a decoder process sends back: a head of fixed size, a text, and the frames, as plain data.

The frames of a clip are in shared memory, if there is any. All else, and the frames of windows,
goes through a pipe.

A strange file may have taken over the decoder that read it. So the daemon checks every field. It
takes no size from a decoder but that of a short text; all other sizes follow from the clip spec.
"""

import struct
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from daemon.classify.head import (
    COLOURS,
    FAILURES,
    HEAD_SIZE,
    MOST_TEXT,
    NO_MOVEMENT,
    NO_STREAM,
    NO_TIME,
    BadReplyError,
    Failure,
    Head,
    Kind,
)
from daemon.classify.job import Orders
from daemon.classify.shared_frames import SharedFrames
from daemon.home.texts import shortened
from learner.cutting import Window
from learner.motion import MOTION_FEATURES
from learner.recording import LONGEST_TEXT
from learner.spec import ClipSpec
from learner.video import DECODER, Clip
from learner.window_plan import MOST_WINDOWS, WindowPlan
from learner.windows import Long, Piece

_SECONDS = struct.Struct("<d")
# How many windows, whether they are the last ones, and whether the rest is damaged.
_PIECE = struct.Struct("<HBB")
# Its number, when it ends, how many frames were read, its movement, and its share that was read.
_WINDOW = struct.Struct("<IdHdd")
_MOST_STREAMS = 1000  # FFmpeg opens no file with more
_MOST_SHOWN = 1000  # characters

Reply = Clip | Long | Piece | str | Failure
"""What a decoder sends of a file; a text is a SHA-256."""


class _Pipe(Protocol):
    def write(self, data: Any, /) -> int | None: ...


def send(pipe: _Pipe, token: int, reply: Reply | None, shared: SharedFrames | None = None) -> None:
    """Write a reply, in the decoder.

    Args:
        pipe: Where the daemon reads.
        token: That of the job.
        reply: A text is a SHA-256 in hexadecimal; None says that the process is ready.
        shared: Where the frames of a clip go; None: through the pipe.
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
        _send_head(pipe, token, Kind.LONG, reply)
        _write(pipe, _SECONDS.pack(reply.seconds))
    else:
        if shared:
            shared.put(reply.frames)
        _send_head(pipe, token, Kind.CLIP, reply, reply.frames_read, reply.movement)
        send_arrays(pipe, reply, with_frames=shared is None)


def _send_head(
    pipe: _Pipe,
    token: int,
    kind: Kind,
    reply: Clip | Long,
    frames_read: int = 0,
    movement: float | None = None,
) -> None:
    """Write what a clip and a long video have in common, and two numbers of a clip."""
    camera = _cut(reply.camera or "", MOST_TEXT // 2)
    uncut = _cut((reply.uncut if isinstance(reply, Clip) else None) or "", MOST_TEXT // 2)
    head = Head(
        token,
        kind,
        length=len(camera) + len(uncut),
        frames_read=frames_read,
        read_share=reply.read_share,
        recorded=NO_TIME if reply.recorded is None else reply.recorded,
        stream=NO_STREAM if reply.stream is None else reply.stream,
        colours=COLOURS.index(reply.colours),
        movement=NO_MOVEMENT if movement is None else movement,
        sha256=bytes.fromhex(reply.sha256),
        uncut=len(uncut),
    )
    _write(pipe, head.to_bytes() + camera + uncut)


def _send_piece(pipe: _Pipe, token: int, piece: Piece) -> None:
    head = Head(token, Kind.PIECE).to_bytes()
    _write(pipe, head + _PIECE.pack(len(piece.windows), piece.is_last, piece.is_rest_lost))
    for window in piece.windows:
        movement = NO_MOVEMENT if window.movement is None else window.movement
        numbers = (window.number, window.end, window.frames_read, movement, window.read_share)
        _write(pipe, _WINDOW.pack(*numbers))
        send_arrays(pipe, window)


def send_arrays(pipe: _Pipe, clip: Clip, *, with_frames: bool = True) -> None:
    """Write the frames of a clip, and its motion if it was measured."""
    if with_frames:
        _write(pipe, np.ascontiguousarray(clip.frames, np.uint8))
    if clip.motion is not None:
        _write(pipe, np.ascontiguousarray(clip.motion, np.float32))


def receive(
    read: Callable[[memoryview], None],
    token: int,
    orders: Orders,
    first: int = 0,
    shared: SharedFrames | None = None,
) -> Reply | None:
    """The next reply of a decoder; a text is a SHA-256. None says that it is ready.

    Args:
        read: Fills a buffer with the next bytes.
        token: Of the job that was given: a reply to another one does not count.
        orders: Which frames were asked for, and which windows. No reply is larger than they say.
        first: The first window that was asked for.
        shared: Where the frames of a clip are; None: they come through the pipe.

    Raises:
        BadReplyError: it is none.
    """
    head = Head.from_bytes(_received(read, HEAD_SIZE))
    spec = orders.spec
    if head.token != token:
        raise BadReplyError
    if head.kind == Kind.READY:
        return None
    if head.kind == Kind.HASH:
        return head.sha256.hex()
    if head.kind == Kind.PIECE:
        return _receive_piece(read, spec, orders.windows, first)
    text = _received(read, head.length - head.uncut)
    uncut = _received(read, head.uncut)
    shown = shortened(text.decode("utf-8", "replace"), _MOST_SHOWN)
    camera = shown[:LONGEST_TEXT] or None
    if head.kind in FAILURES:
        return Failure(
            Kind(head.kind), shown or "no reason given", head.errno, bool(head.cut_short)
        )
    is_share = 0 < head.read_share <= 1  # not if it is no number
    is_stream = NO_STREAM <= head.stream < _MOST_STREAMS
    if not is_share or not is_stream or head.colours >= len(COLOURS):
        raise BadReplyError
    if head.kind == Kind.LONG:
        return _receive_long(read, head, camera, orders)
    if not 1 <= head.frames_read <= spec.frames:
        raise BadReplyError
    frames, motion = _receive_arrays(read, spec, shared)
    return Clip(
        frames,
        frames_asked=spec.frames,
        frames_read=head.frames_read,
        decoder=DECODER,
        sha256=head.sha256.hex(),
        read_share=head.read_share,
        motion=motion,
        recorded=_recorded(head),
        camera=camera,
        stream=None if head.stream == NO_STREAM else head.stream,
        colours=COLOURS[head.colours],
        movement=_movement(head.movement),
        uncut=shortened(uncut.decode("utf-8", "replace")) or None,
    )


def _receive_long(
    read: Callable[[memoryview], None], head: Head, camera: str | None, orders: Orders
) -> Long:
    (seconds,) = _SECONDS.unpack(_received(read, _SECONDS.size))
    if orders.windows is None or not orders.windows_from < seconds < np.inf:
        raise BadReplyError
    return Long(
        head.sha256.hex(),
        seconds,
        orders.spec.frames,
        head.read_share,
        _recorded(head),
        camera,
        stream=None if head.stream == NO_STREAM else head.stream,
        colours=COLOURS[head.colours],
    )


def _recorded(head: Head) -> int | None:
    return None if head.recorded == NO_TIME else head.recorded


def _movement(sent: float) -> float | None:
    if sent == NO_MOVEMENT:
        return None
    if not 0 <= sent <= 1:  # also if it is no number
        raise BadReplyError
    return sent


def _receive_piece(
    read: Callable[[memoryview], None], spec: ClipSpec, plan: WindowPlan | None, first: int
) -> Piece:
    count, is_last, is_lost = _PIECE.unpack(_received(read, _PIECE.size))
    if (
        plan is None
        or max(is_last, is_lost) > 1
        or count > plan.at_once
        or (not count and not is_last)
    ):
        raise BadReplyError
    windows: list[Window] = []
    for _ in range(count):
        number, end, frames_read, movement, share = _WINDOW.unpack(_received(read, _WINDOW.size))
        least = windows[-1].number + 1 if windows else first
        start = float(plan.begin(number))
        longest = plan.seconds + plan.step
        is_number = least <= number < MOST_WINDOWS
        # Also if the end or the share is no number.
        is_time = 0 < end - start <= longest
        if (
            not is_number
            or not is_time
            or not 1 <= frames_read <= spec.frames
            or not 0 < share <= 1
        ):
            raise BadReplyError
        frames, motion = _receive_arrays(read, spec)
        window = Window(
            frames,
            frames_asked=spec.frames,
            frames_read=frames_read,
            decoder=DECODER,
            sha256="",
            motion=motion,
            movement=_movement(movement),
            read_share=share,
            number=number,
            start=start,
            end=end,
        )
        windows.append(window)
    return Piece(tuple(windows), bool(is_last), bool(is_lost))


def _received(read: Callable[[memoryview], None], size: int) -> bytearray:
    data = bytearray(size)
    read(memoryview(data))
    return data


def _receive_arrays(
    read: Callable[[memoryview], None], spec: ClipSpec, shared: SharedFrames | None = None
) -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.float32]] | None]:
    frames = np.empty((spec.frames, spec.size, spec.size, 3), np.uint8)
    if shared:
        shared.take(frames)
    else:
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


def _cut(text: str, most: int = MOST_TEXT) -> bytes:
    """The text in UTF-8; not all of a very long one."""
    return text.encode("utf-8", "backslashreplace")[:most]

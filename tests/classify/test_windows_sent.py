"""What a decoder sends of a long video is data: no number in it is believed."""

import math
import struct
from dataclasses import replace

import numpy as np
import pytest

from daemon.classify.head import BadReplyError, Head, Kind
from daemon.classify.job import Job, Orders
from daemon.classify.reply import receive, send
from learner.cutting import Window
from learner.spec import ClipSpec, ReadOptions
from learner.window_plan import AT_ONCE, MOST_WINDOWS, WindowPlan
from learner.windows import Long, Piece

SPEC = ClipSpec(frames=2, size=4)
ORDERS = Orders(1, 1.0, SPEC, ReadOptions(), WindowPlan(10, 10), 60.0)
LONG = Long("ab" * 32, 3600.0, SPEC.frames, 0.75, 12, "a camera", stream=2, colours="hdr")


def window(number: int, **more: object) -> Window:
    frames = np.full((2, 4, 4, 3), number % 256, np.uint8)
    start = 10.0 * number
    plain = Window(frames, 2, 2, "pyav", "", number=number, start=start, end=start + 10)
    return replace(plain, **more)  # type: ignore[arg-type]


class Pipe:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: object) -> int:
        self.data += bytes(data)  # type: ignore[call-overload]
        return len(bytes(data))  # type: ignore[call-overload]

    def read(self, buffer: memoryview) -> None:
        """Fill the buffer; what is missing never comes."""
        if len(self.data) < len(buffer):
            raise EOFError
        buffer[:] = self.data[: len(buffer)]
        self.data = self.data[len(buffer) :]


def received(reply: Long | Piece, orders: Orders = ORDERS, first: int = 0) -> object:
    pipe = Pipe()
    send(pipe, 7, reply)
    found = receive(pipe.read, 7, orders, first)
    assert pipe.data == b""
    return found


def test_a_long_video_and_its_pieces_come_as_they_were_sent() -> None:
    assert received(LONG) == LONG
    piece = received(Piece((window(3), window(5, end=63.0, movement=0.25)), True), first=3)
    assert isinstance(piece, Piece)
    assert piece.is_last
    spans = [(one.number, one.start, one.end, one.frames_read) for one in piece.windows]
    assert spans == [(3, 30, 40, 2), (5, 50, 63, 2)]
    assert [one.movement for one in piece.windows] == [None, 0.25]
    assert [int(one.frames.max()) for one in piece.windows] == [3, 5]
    empty = received(Piece((), True))
    assert isinstance(empty, Piece)
    assert empty.windows == ()


@pytest.mark.parametrize(
    "reply",
    [
        replace(LONG, seconds=60.0),
        replace(LONG, seconds=math.nan),
        replace(LONG, seconds=math.inf),
        replace(LONG, read_share=0.0),
        replace(LONG, read_share=math.nan),
        replace(LONG, stream=5000),
        Piece((window(3, movement=1.5),), True),
        Piece((window(3, movement=math.nan),), True),
        Piece((), False),
        Piece((window(2),), True),
        Piece((window(4), window(4)), True),
        Piece((window(5), window(4)), True),
        Piece((window(MOST_WINDOWS),), True),
        Piece((window(3, end=29.9),), True),
        Piece((window(3, end=51.0),), True),
        Piece((window(3, end=math.nan),), True),
        Piece((window(3, frames_read=0),), True),
        Piece((window(3, frames_read=3),), True),
        Piece(tuple(map(window, range(3, 4 + AT_ONCE))), True),
    ],
    ids=str,
)
def test_what_no_decoder_of_ours_would_send_is_no_reply(reply: Long | Piece) -> None:
    with pytest.raises(BadReplyError):
        received(reply, first=3)


@pytest.mark.parametrize("reply", [LONG, Piece((window(0),), True)], ids=["long", "piece"])
def test_nothing_of_windows_comes_if_none_were_asked_for(reply: Long | Piece) -> None:
    with pytest.raises(BadReplyError):
        received(reply, replace(ORDERS, windows=None))


@pytest.mark.parametrize("tail", [struct.pack("<HBB", 0xFFFF, 0, 0), struct.pack("<HBB", 1, 2, 0)])
def test_a_count_of_windows_takes_no_memory(tail: bytes) -> None:
    pipe = Pipe()
    pipe.data = Head(7, Kind.PIECE).to_bytes() + tail
    with pytest.raises(BadReplyError):
        receive(pipe.read, 7, ORDERS)


@pytest.mark.parametrize("plan", [None, WindowPlan(10, 2.5)])
def test_orders_and_jobs_are_the_same_after_they_were_sent(plan: WindowPlan | None) -> None:
    orders = replace(ORDERS, windows=plan)
    assert Orders.from_line(orders.to_line()) == orders
    job = Job("windows", b"/a\xff.mp4", None, "ab", 17)
    assert Job.from_line(job.to_line()) == job

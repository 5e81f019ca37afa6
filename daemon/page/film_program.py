"""The program that looks at one file, and makes a film of it if no browser plays it as it is.

The order comes in on its standard input, the film goes out: a process of its own, which dies with
the page's server, and can do little but decode.
"""

import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from daemon.classify.confinement import confine
from daemon.page.film_order import Order
from learner.errors import VidwatchError
from learner.jpeg import film_in
from learner.process import die_with
from learner.safe_open import open_container, open_regular, packets, refuse_huge, why_no_frames
from learner.streams import film
from learner.upright import upright

# What the browsers of today play. Sound that they cannot play is left out by them.
PLAYED = {
    "mov,mp4,m4a,3gp,3g2,mj2": ("video/mp4", {"h264", "vp9", "av1"}),
    "matroska,webm": ("video/webm", {"vp8", "vp9", "av1"}),
}
PIXELS = {"yuv420p", "yuvj420p"}  # 8 bits, with the colours that browsers expect
# The first of these that this FFmpeg has. A key frame is near each frame, so that going back by a
# frame is quick.
ENCODERS = (
    ("libx264", "mp4", {"preset": "veryfast", "crf": "26", "g": "12"}),
    ("libopenh264", "mp4", {"g": "12"}),
    ("libvpx", "webm", {"deadline": "realtime", "cpu-used": "8", "crf": "20", "g": "12"}),
)
SOUND = {"mp4": "aac", "webm": "libopus"}
SOUND_RATE = 48_000  # samples a second
MOST_EARLY = 1000  # pieces of sound that wait for the first picture
LONGEST_SIDE = 640  # pixels
MOST_SECONDS = 300.0  # of a film; a long video has its windows on a page of its own
TICKS = 90_000  # a second
THREADS = 2


def main() -> None:
    """Read one order, and obey it."""
    parent, gigabytes = int(sys.argv[1]), float(sys.argv[2])
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confine(gigabytes)
    line = sys.stdin.buffer.readline()
    if not line:  # the server has ended
        return
    head, data = _reply(Order.from_line(line))
    out.write(json.dumps(head).encode() + b"\n")
    out.write(data)
    out.close()


def _reply(order: Order) -> tuple[dict[str, Any], bytes]:
    """What goes out first, as JSON, and the film.

    That is `plays`, the media type, if browsers play the file itself; `made`, the ending of the
    film, with `until`, the second at which it was ended early; or `problem`, why there is none.
    """
    try:
        return _film(order)
    except MemoryError:
        return {"problem": "it takes too much memory to make a film of it"}, b""
    except (VidwatchError, OSError) as error:
        return {"problem": str(error)}, b""
    except (FFmpegError, ValueError, LookupError, ArithmeticError) as error:
        return {"problem": f"no film can be made of it ({error})"}, b""


def _film(order: Order) -> tuple[dict[str, Any], bytes]:
    with open_regular(os.fsencode(order.path)) as file:
        try:
            container = open_container(file)
        except FFmpegError as error:
            raise VidwatchError(why_no_frames(file)) from error
        with container:
            stream = film(container, file).stream
            if stream is None or stream.codec_context is None:
                raise VidwatchError(why_no_frames(file))
            refuse_huge(stream)
            is_whole_file = film_in(file).begin == 0
            played = _played_as(container, stream) if is_whole_file and not order.anew else None
            if played:
                return {"plays": played}, b""
            made = _made(container, stream, order.seconds)
            if made is None:
                raise VidwatchError(why_no_frames(file))
            return made


def _played_as(container: Any, stream: Any) -> str | None:
    """The media type under which browsers play a file; None if they do not."""
    media_type, codecs = PLAYED.get(container.format.name, ("", set[str]()))
    context = stream.codec_context
    is_played = context.name in codecs or context.codec.canonical_name in codecs
    is_only_one = len(container.streams.video) == 1
    return media_type if is_played and context.pix_fmt in PIXELS and is_only_one else None


def _made(container: Any, stream: Any, seconds: float) -> tuple[dict[str, Any], bytes] | None:
    """A small film of a stream; None if it has no frame that can be decoded."""
    name, ending, options = _encoder()
    end = time.monotonic() + seconds
    buffer = io.BytesIO()
    until = None
    out: Any = None
    sound: Sound | None = None
    last = -1
    heard = _heard(container)
    with av.open(buffer, "w", format=ending) as made:
        for at, image in _decoded(container, stream, heard):
            if isinstance(image, av.AudioFrame):
                if sound is not None:
                    sound.add(at, image)
                continue
            if out is None:
                sound = Sound(made, SOUND[ending], heard)
                out = made.add_stream(name, rate=_rate(stream), options=options)
                out.height, out.width = image.shape[:2]
                out.pix_fmt = "yuv420p"
                out.codec_context.time_base = Fraction(1, TICKS)
                out.codec_context.thread_count = THREADS
            if at > MOST_SECONDS or time.monotonic() > end:
                until = at
                break
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            last = max(last + 1, round(at * TICKS))
            frame.pts = last
            frame.time_base = Fraction(1, TICKS)
            made.mux(out.encode(frame))
        if out is None or sound is None:
            return None
        made.mux(out.encode(None))
        sound.end()
    return {"made": ending, "until": until}, buffer.getvalue()


def _heard(container: Any) -> Any:
    """The stream of sound; None if there is none that can be decoded."""
    streams = container.streams.audio
    return next((one for one in streams if one.codec_context and one.rate), None)


class Sound:
    """The sound of a film. If something is wrong with it, the film has none from there on."""

    def __init__(self, made: Any, codec: str, heard: Any) -> None:
        """Begin the sound.

        Args:
            made: The container of the film, which has no packet yet.
            codec: The sound's encoder.
            heard: The stream that it comes from; None if there is no sound.
        """
        self._made = made
        self._out: Any = None
        if heard is not None and codec in av.codecs_available:
            layout = "mono" if heard.channels == 1 else "stereo"
            self._out = made.add_stream(codec, rate=SOUND_RATE, layout=layout)

    def add(self, at: float, frame: Any) -> None:
        """Add a piece that begins at this second of the film."""
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(at * frame.sample_rate)
        self._encode(frame)

    def end(self) -> None:
        """Add what is left."""
        self._encode(None)

    def _encode(self, frame: Any) -> None:
        if self._out is None:
            return
        try:
            self._made.mux(self._out.encode(frame))
        except (FFmpegError, ValueError):
            self._out = None


def _encoder() -> tuple[str, str, dict[str, str]]:
    for name, ending, options in ENCODERS:
        if name in av.codecs_available:
            return name, ending, options
    raise VidwatchError("this FFmpeg can make no film that browsers play")


def _rate(stream: Any) -> Fraction:
    """Frames a second, as stated; only a hint, since each frame has its time."""
    rate = stream.average_rate or stream.guessed_rate
    return rate if rate and 1 <= rate <= 240 else Fraction(25)


def _decoded(container: Any, stream: Any, heard: Any) -> Iterator[tuple[float, Any]]:
    """Pictures as they are to be seen, `(height, width, 3)` uint8, and sound, with their seconds.

    The first picture is at 0, and comes first. What is damaged is left out.
    """
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = THREADS
    begin: float | None = None
    at = 0.0
    size: tuple[int, int] | None = None
    early: list[Any] = []
    for packet in packets(container, *(one for one in (stream, heard) if one is not None)):
        try:
            frames = packet.decode()
        except FFmpegError:
            continue
        if packet.stream.index != stream.index:
            early = [*early, *frames][-MOST_EARLY:]
            if size is not None:
                yield from _since(early, begin)
                early = []
            continue
        for frame in frames:
            size = size or _size(frame, stream)
            begin = frame.time if begin is None else begin
            is_timed = frame.time is not None and begin is not None
            at = frame.time - begin if is_timed else at + float(1 / _rate(stream))
            image = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
            yield max(at, 0.0), np.ascontiguousarray(upright(image, frame))


def _since(sound: Iterable[Any], begin: float | None) -> Iterator[tuple[float, Any]]:
    """The pieces of sound that begin when the pictures do, or later, with their seconds."""
    for frame in sound:
        if begin is not None and frame.time is not None and frame.time >= begin:
            yield frame.time - begin, frame


def _size(frame: Any, stream: Any) -> tuple[int, int]:
    """Width and height of the film before it is turned: small, in the shape that is to be seen."""
    shape = stream.sample_aspect_ratio or Fraction(1)
    width = frame.width * float(shape if 0.1 < shape < 10 else 1)
    scale = min(1.0, LONGEST_SIDE / max(width, frame.height))
    return _even(scale * width), _even(scale * frame.height)


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))


if __name__ == "__main__":
    main()

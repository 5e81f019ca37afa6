"""Reads long videos window by window: the same frames, wherever the reading begins.

A window's frames are those that are shown from its begin on, and before its end. It is divided into
`spec.frames` parts of equal time, and each part gives the frame that is shown in its middle.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from learner.colours import Remark
from learner.cutting import Cut, Shown, Stored, Window
from learner.files import sha256_of_open
from learner.frames import to_the_first_error, whole_frames
from learner.measured import Measured, NotCutError, ShortError, measure, prepared
from learner.safe_open import File, VideoError, open_container
from learner.spec import ClipSpec, ReadOptions
from learner.video import DECODER, Clip, Picture
from learner.window_plan import MOST_WINDOWS, OnePart, WindowPlan

# If there is no key frame in so many seconds before a window, each piece would decode too much that
# nobody needs.
FARTHEST_KEY = 120  # seconds
FIRST_STEP_BACK = 1  # second
# How far the times of frames may go back: they are rounded. A larger step is another clock.
SLACK = 1  # second


@dataclass(frozen=True)
class Long:
    """A long video that can be read in windows, before any is read."""

    sha256: str
    """Of the file's content."""
    seconds: float
    """Its running time."""
    frames_asked: int
    """Of each window."""
    read_share: float = 1.0
    """1 if the file is whole; else its end is missing."""
    recorded: int | None = None
    """As in `Clip`."""
    camera: str | None = None
    decoder: str = DECODER
    stream: int | None = None
    colours: Remark | None = None


@dataclass(frozen=True)
class Piece:
    """Some windows of a video that follow each other. A window without a frame is left out."""

    windows: tuple[Window, ...]
    is_last: bool
    """Whether there is no later window."""
    is_rest_lost: bool = False
    """Whether what comes after them is damaged."""


class Windows(NamedTuple):
    """The windows of a video, as they are read."""

    windows: Iterator[Window]
    """Those without a frame are left out. It raises `NotCutError`, too."""
    total: int
    """How many there are, by the video's running time."""
    read_share: float
    """1 if the file is whole; else its end is missing."""
    cut: Cut
    """Makes them."""


def long_video(
    file: File,
    spec: ClipSpec,
    plan: WindowPlan,
    from_seconds: float,
    reading: ReadOptions,
    sha256: str | None = None,
) -> Long | None:
    """What is known of a video that is longer than `from_seconds`; None of any other file.

    Args:
        file: The open file.
        spec: Which frames each window will give.
        plan: How it is cut.
        from_seconds: A video that runs for no longer than this is not long.
        reading: How much of it has to be there.
        sha256: Of its content; if None, the file is read for it.

    Raises:
        NotCutError: it cannot be read in windows, however long it is: it is read as any clip then.
        VideoError: less of it is there than `reading` requires.
        OSError: the file may not be read.
    """
    try:
        measured = measure(file, from_seconds)
    except ShortError:
        return None
    length = measured.length
    if length <= max(from_seconds, plan.seconds):
        return None
    last = plan.count(length) - 1
    # Whether it can be sought in, before hours of it are read.
    picture = Picture(spec)
    for number in (last // 2, last):
        _, frame = next(_shown(file, measured, plan.begin(number)))
        picture.of(frame)  # it says what is done to the colours
    measured.there.require(reading.min_read_share)
    if sha256 is None:
        file.seek(0)
        sha256 = sha256_of_open(file)
    recording = measured.recording
    share = measured.there.share
    return Long(
        sha256,
        float(length),
        spec.frames,
        share,
        recording.at,
        recording.camera,
        stream=measured.stream,
        colours=picture.colours,
    )


def read_piece(
    file: File,
    spec: ClipSpec,
    plan: WindowPlan,
    first: int,
    sha256: str,
    least: float = 0.0,
) -> Piece:
    """The next windows of a long video from number `first` on, at most `plan.at_once`.

    Args:
        file: The open file.
        spec: Which frames each window gives.
        plan: The windows.
        first: The number of the first window that is wanted.
        sha256: Of the file's content.
        least: The share of a window's frames that have to be whole.

    Raises:
        NotCutError: the video cannot be read in windows.
        OSError: the file may not be read.
    """
    read = _windows(file, measure(file), spec, plan, first, sha256, least)
    found = tuple(itertools.islice(read.windows, plan.at_once))
    is_last = len(found) < plan.at_once or found[-1].number == read.total - 1
    return Piece(found, is_last, read.cut.is_rest_lost)


def read_windows(
    file: File,
    spec: ClipSpec,
    plan: WindowPlan,
    first: int = 0,
    sha256: str = "",
    *,
    least: float = 0.0,
) -> Windows:
    """The windows of a video from number `first` on. Each frame is decoded once.

    Args:
        file: The open file.
        spec: Which frames each window gives.
        plan: The windows.
        first: The number of the first window that is wanted.
        sha256: Of the file's content.
        least: The share of the file that has to be there, and of a window's frames.

    Raises:
        NotCutError: the video cannot be read in windows.
        VideoError: less of it is there.
        OSError: the file may not be read.
    """
    measured = measure(file)
    measured.there.require(least)
    return _windows(file, measured, spec, plan, first, sha256, least)


def _windows(
    file: File,
    measured: Measured,
    spec: ClipSpec,
    plan: WindowPlan,
    first: int,
    sha256: str,
    least: float,
) -> Windows:
    count = plan.count(measured.length)
    if count > MOST_WINDOWS:
        raise NotCutError(f"it would have {count} windows")
    stored = Stored(measured.rate)
    frames = _shown(file, measured, plan.begin(first), stored) if first < count else iter(())
    cut = Cut(spec, plan, first, measured.length, measured.recording, sha256, stored, least)
    return Windows(cut.windows(frames), count, measured.there.share, cut)


def read_part(file: File, spec: ClipSpec, start: float, end: float, sha256: str = "") -> Clip:
    """A part of a video as a clip of its own: the same frames as a window from `start` to `end`.

    Args:
        file: The open file.
        spec: Which frames it gives.
        start: When it begins, in seconds from the video's first picture.
        end: When it ends.
        sha256: Of the file's content.

    Raises:
        VideoError: the video cannot be read in parts, or has no whole frame there.
        OSError: the file may not be read.
    """
    plan = OnePart(start, end)
    try:
        measured = measure(file)
        shown = _shown(file, measured, plan.begin(0))
        frames = _to_the_first_after(plan.end(0, measured.length), shown)
        cut = Cut(spec, plan, 0, measured.length, measured.recording, sha256)
        found = next(cut.windows(frames), None)
    except NotCutError as error:
        raise VideoError(f"no part of it can be read alone, since {error}") from error
    if found is None or found.number:
        raise VideoError(f"has no whole frame from {start:g} to {end:g} s")
    return found


def _shown(
    file: File, measured: Measured, begin: Fraction, stored: Stored | None = None
) -> Iterator[Shown]:
    """The whole frames from a key frame at or before `begin` on, and perhaps some before.

    Raises:
        NotCutError: frames have no times, or times that go back; or there is no such key frame.
    """
    back = Fraction(0)
    while True:
        is_first = begin - back <= 0
        with open_container(file) as container:
            if stored:
                stored.clear()
            frames = _from(container, file, measured, None if is_first else begin - back, stored)
            first = next(frames, None)
            found = first[0] if first else begin - back
            if begin - found > FARTHEST_KEY:
                raise NotCutError(f"it has no key frame in {FARTHEST_KEY} seconds")
            if first and (is_first or found <= begin):
                yield from itertools.chain([first], frames)
                return
            if is_first:
                raise NotCutError("it has no whole key frame")
        back = max(2 * back, Fraction(FIRST_STEP_BACK))


def _to_the_first_after(end: Fraction, frames: Iterator[Shown]) -> Iterator[Shown]:
    """The frames before a time and the one that follows: motion is measured with that one."""
    for shown in frames:
        yield shown
        if shown[0] >= end:
            return


def _from(
    container: Any,
    file: File,
    measured: Measured,
    begin: Fraction | None,
    stored: Stored | None,
) -> Iterator[Shown]:
    """The whole frames from the key frame on that the container finds for a time.

    It may find a later one: MP4 goes by when frames are decoded, and a transport stream knows no
    key frames. A frame that is shown before that key frame refers to what was not read:
    `whole_frames` leaves it out.
    """
    stream = prepared(container, file).stream
    base = stream.time_base
    has_key = False

    def note(packet: Any) -> None:
        nonlocal has_key
        has_key = has_key or packet.is_keyframe  # what leads up to it is no damage
        when = packet.dts if packet.pts is None else packet.pts
        if stored and has_key and when is not None:
            stored.add(float((when - measured.start) * base))

    with to_the_first_error():
        if begin is not None:
            container.seek(measured.start + int(begin / base), stream=stream)
        last = None
        for frame in whole_frames(container, stream, note=note):
            if frame.pts is None:
                raise NotCutError("its frames have no times")
            when = (frame.pts - measured.start) * base
            if last is not None and when < last - SLACK:
                raise NotCutError("its clock goes back")
            last = when
            yield when, frame

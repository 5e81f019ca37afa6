"""Opens videos: a file into uint8 RGB frames, sampled evenly over the clip. Knows no model and no database.

Every decoder process loads this module, so it imports neither torch nor timm.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from learner.container import lacks_index, stated_size
from learner.files import sha256_of_open
from learner.frames import (
    NotSoughtError,
    is_long,
    running_time,
    sought,
    to_the_first_error,
    whole_frames,
)
from learner.safe_open import (
    MAX_PIXELS,
    File,
    VideoError,
    open_container,
    open_regular,
    packets,
    refuse_huge,
    why_no_frames,
)
from learner.spec import ClipSpec, ReadOptions

# Of the frames that are stored, the share that may yield none: VP8 stores some that are never shown.
TOLERATED_LOSS = 0.1
# At the end of a clip that is cut short: the frame that the cut went through, and those that were to be shown after it.
CUT_LOSS = 4
PICTURE_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1")


@dataclass(frozen=True)
class Clip:
    """Frames of one file, `(T, size, size, 3)` uint8 RGB, and how they were come by.

    `frames_read` counts the different frames that were really decoded: a clip shorter than `frames_asked` repeats some.
    `read_share` is 1 where the clip is whole; else its end is missing, and the frames are spread over this share of it.
    """

    frames: np.ndarray[Any, np.dtype[np.uint8]]
    frames_asked: int
    frames_read: int
    decoder: str
    sha256: str
    read_share: float = 1.0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.frames, dtype=dtype, copy=copy)


def sample_indices(count: int, frames: int) -> list[int]:
    """The middle frame of each of `frames` equal parts of `count` frames; frames repeat where the clip is shorter."""
    return [(2 * part + 1) * count // (2 * frames) for part in range(frames)]


def read_clip(
    path: str | bytes | os.PathLike[Any], spec: ClipSpec, reading: ReadOptions | None = None
) -> Clip:
    """Decode the frames that `spec` asks for. The content says what a file is, not its name.

    Of a long clip a few frames are sought (see `learner.frames`), so that not all are decoded.

    Raises:
        VideoError: not a video, damaged, without a frame that can be decoded, or less of it is
            there than `reading` requires: by the bytes, the running time or the frames that it
            states, whichever gives the least.
        OSError: the file is gone or may not be read.
    """
    with open_regular(path) as file:
        return read_open(file, spec, reading)


def read_open(file: File, spec: ClipSpec, reading: ReadOptions | None = None) -> Clip:
    """As `read_clip`, of a file that is open already."""
    reading = reading or ReadOptions()
    there = _bytes_there(file)
    there.require(reading.min_read_share)
    file.seek(0)
    sha256 = sha256_of_open(file)
    read = _sample(file, spec, exact=reading.exact, may_seek=there.share == 1)
    if not read.count:
        if there.share < 1 or lacks_index(file):
            where = "before its index, or before its first picture"
            raise VideoError(f"cut short {where}: nothing of it can be read", cut_short=True)
        raise VideoError(why_no_frames(file))
    if not read.is_sought:
        there = _frames_there(file, read.count, read.claimed, there)
        there.require(reading.min_read_share)
    frames = np.stack([read.images[i] for i in sample_indices(read.count, spec.frames)])
    return Clip(frames, spec.frames, len(read.images), "pyav", sha256, there.share)


@dataclass(frozen=True)
class _There:
    """The share of a clip that is there, and what tells that the rest is not."""

    share: float = 1.0
    missing: str = ""

    def require(self, least: float) -> None:
        if self.share < least:
            rule = (
                f"; {self.share:.0%} of it is there, and {least:.0%} is the least"
                if least < 1
                else ""
            )
            raise VideoError(f"cut short: {self.missing}{rule}", cut_short=True)


def _bytes_there(file: File) -> _There:
    stated, size = stated_size(file), os.fstat(file.fileno()).st_size
    if size >= stated:
        return _There()
    return _There(
        size / stated, f"its container says that it has {stated} bytes, but it has {size}"
    )


@dataclass(frozen=True)
class _Read:
    """Pictures by the number of their frame, how many frames there are, and how many the header claims: often wrong.

    Where they were sought, they are one of each part, and stand for all that there are.
    """

    images: dict[int, Any]
    count: int
    claimed: int = 0
    is_sought: bool = False


def _sample(file: File, spec: ClipSpec, *, exact: bool, may_seek: bool) -> _Read:
    """The frames that are sampled, and no others.

    Raises:
        VideoError: the file gave other frames when it was read again.
    """
    try:
        read = _scan(file, spec, exact=exact, may_seek=may_seek)
    except NotSoughtError:
        read = _scan(file, spec)
    wanted = set(sample_indices(read.count, spec.frames)) if read.count else set()
    if not wanted <= read.images.keys():
        first, read = read, _scan(file, spec, read.count)
        if read.count != first.count or not wanted <= read.images.keys():
            raise VideoError(
                f"damaged: {first.count} frames at first, {read.count} when read again"
            )
    return replace(read, images={index: read.images[index] for index in wanted})


def _scan(
    file: File, spec: ClipSpec, count: int = 0, *, exact: bool = False, may_seek: bool = False
) -> _Read:
    """Decode every frame, and convert those wanted of a clip of `count` frames; 0 takes the header's word for it.

    By FFmpeg itself, not by OpenCV: its 5.0 hands out stale pictures, with no error, for interlaced video and for some
    colour matrices. One thread, the fastest for short clips where several are read at once.

    Raises:
        NotSoughtError: it may, and is so long that it would, but cannot.
    """
    images: dict[int, Any] = {}
    found = claimed = 0
    with to_the_first_error(), open_container(file) as container:
        stream = container.streams.best("video")
        if stream:
            refuse_huge(stream)
            claimed = stream.frames
        if stream and stream.codec_context:
            picture = Picture(spec)
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
            if may_seek and is_long(container, stream):
                frames = sought(container, stream, spec.frames, exact)
                return _Read(
                    {part: picture.of(frame) for part, frame in enumerate(frames)},
                    spec.frames,
                    0,
                    True,
                )
            wanted = set(sample_indices(count or claimed or _stored(file), spec.frames))
            for frame in whole_frames(container, stream):
                if found in wanted:
                    images[found] = picture.of(frame)
                found += 1
    return _Read(images, found, claimed)


def _stored(file: File) -> int:
    """The number of packets, which costs little beside decoding.

    It tells where to sample, and nothing of whether the clip is whole: one that is cut short has fewer.
    """
    with to_the_first_error(), open_container(file) as container:
        return sum(
            1 for packet in packets(container, container.streams.best("video")) if packet.size
        )
    return 0


class Picture:
    """Frames to pictures of the size that `spec` asks for, `(size, size, 3)` uint8 RGB, upright.

    Keeps FFmpeg's scalers for all frames of a clip, on one thread: one that is new for each frame, and starts threads,
    takes three times as long.
    """

    def __init__(self, spec: ClipSpec) -> None:
        self._spec, self._scaler, self._painter = spec, VideoReformatter(), VideoReformatter()

    def of(self, frame: Any) -> Any:
        """The picture, turned as the recorder's flag says."""
        try:
            image = self._cropped(frame) if self._spec.fit == "crop" else self._squashed(frame)
        except MemoryError:
            raise
        except av.error.FFmpegError as error:
            reason = f"its colours cannot be converted ({frame.format.name}, {error.strerror})"
            raise VideoError(reason) from error
        return np.ascontiguousarray(np.rot90(image, k=round(frame.rotation / 90)))

    def _squashed(self, frame: Any) -> Any:
        """By the mean of the area of each pixel; in the video's own colours, since painting the small one costs less.

        Those that are not in planes of luma and chroma, FFmpeg cannot always write.
        """
        own = frame.format.is_planar and not frame.format.is_rgb
        size, colours = self._spec.size, None if own else "rgb24"
        small = self._scaler.reformat(
            frame, size, size, colours, interpolation=Interpolation.AREA, threads=1
        )
        return self._painter.reformat(small, format="rgb24", threads=1).to_ndarray()

    def _cropped(self, frame: Any) -> Any:
        image = self._painter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        side, size = min(image.shape[:2]), self._spec.size
        top, left = ((length - side) // 2 for length in image.shape[:2])
        how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
        return cv2.resize(
            image[top : top + side, left : left + side], (size, size), interpolation=how
        )


def _frames_there(file: File, count: int, claimed: int, there: _There) -> _There:
    """What is there by running time and by frames, too, where that is less.

    A count that differs from the header's is no proof (edit lists, variable rates), unless something else says that the
    clip was cut short. The packets are.

    Raises:
        VideoError: of the frames that are there too few can be decoded, or it is a picture in a video's container.
    """
    if count == claimed and count > 1:
        return there
    try:
        with open_container(file) as container:
            stream = container.streams.best("video")
            if stream.disposition & av.stream.Disposition.attached_pic:
                raise VideoError("not a video: sound with a cover picture")
            if container.metadata.get("major_brand") in PICTURE_BRANDS:
                raise VideoError("not a video: a picture (HEIF or AVIF)")
            times = running_time(container, stream)
            rate = float(stream.average_rate or 0)
    except MemoryError:
        raise
    except (av.error.FFmpegError, AttributeError) as error:
        raise VideoError(f"its end cannot be checked ({error})") from error
    if times.are_short and times.reached / times.stated < there.share:
        missing = f"it should run for {times.stated:.1f} s, but ends after {times.reached:.1f} s"
        there = _There(times.reached / times.stated, missing)
    if there.share < 1 and claimed and count / claimed < there.share:
        there = _There(count / claimed, f"it should have {claimed} frames, but has {count}")
    # Interlaced video may have two packets a frame, and a variable rate is guessed: only what both say is missing, is.
    stored = min(times.stored, round(times.length * rate)) if rate else times.stored
    tail = CUT_LOSS if there.share < 1 else 0
    if count + tail < stored * (1 - TOLERATED_LOSS):
        raise VideoError(
            f"damaged: it has {stored} frames, but only {count} of them can be decoded"
        )
    return there

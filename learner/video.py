"""Decodes videos: a file to uint8 RGB frames, sampled evenly over the clip.

Every decoder process loads this module, so it imports neither torch nor timm.
"""

import os
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from learner import colours
from learner.colours import Remark
from learner.container import lacks_index
from learner.files import sha256_of_open
from learner.frames import NotSoughtError, to_the_first_error, whole_frames
from learner.movement import movement
from learner.neighbours import Neighbours, converting
from learner.read_share import There, bytes_there, frames_there
from learner.recording import NOT_STATED, Recording, by_container
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
from learner.seeking import Wanted, pairs, seeks
from learner.spec import ClipSpec, ReadOptions
from learner.streams import film
from learner.texts import counted
from learner.upright import upright

DECODER = "pyav"


@dataclass(frozen=True)
class Clip:
    """Frames of one file, and how they were read."""

    frames: np.ndarray[Any, np.dtype[np.uint8]]
    """`(T, size, size, 3)`, RGB."""
    frames_asked: int
    frames_read: int
    """How many different frames were decoded: a clip shorter than `frames_asked` repeats some."""
    decoder: str
    sha256: str
    """Of the file's content."""
    read_share: float = 1.0
    """1 if the clip is whole; else its end is missing, and the frames are from this share of it."""
    motion: np.ndarray[Any, np.dtype[np.float32]] | None = None
    """`(T, MOTION_FEATURES)` if `spec.motion` asks for it; see `learner.motion`."""
    recorded: int | None = None
    """When it was recorded, by its container, in seconds since 1970 in UTC; None if not stated."""
    camera: str | None = None
    """The make and the model of the camera, by its container; None if not stated."""
    stream: int | None = None
    """As `Film.number`: of several films in the container, the one that the frames are of."""
    colours: Remark | None = None
    """What was done to its colours, beside converting them; None if nothing was."""
    movement: float | None = None
    """As `learner.movement.movement`; None of a single frame."""
    uncut: str | None = None
    """Why it could not be cut into windows, if that was tried, however long it is."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.frames, dtype=dtype, copy=copy)


def sample_indices(count: int, frames: int) -> list[int]:
    """The middle frame of each of `frames` equal parts of `count` frames.

    Part k reaches from k * count / frames to (k + 1) * count / frames; its middle is
    (2 k + 1) * count / (2 * frames), rounded down. If the clip has fewer frames, some repeat.
    """
    return [(2 * part + 1) * count // (2 * frames) for part in range(frames)]


def read_clip(
    path: str | bytes | os.PathLike[Any], spec: ClipSpec, reading: ReadOptions | None = None
) -> Clip:
    """Decode the frames that `spec` asks for. The content says what a file is, not its name.

    Of a long clip a few frames are sought (see `learner.seeking`), so that not all are decoded.

    Raises:
        VideoError: not a video, damaged, without a frame that can be decoded, or less of it is
            there than `reading` requires: by the bytes, the running time or the frames that it
            states, whichever gives the least.
        OSError: the file is gone or may not be read.
    """
    with open_regular(path) as file:
        return read_open(file, spec, reading)


def read_open(
    file: File, spec: ClipSpec, reading: ReadOptions | None = None, sha256: str | None = None
) -> Clip:
    """As `read_clip`, of a file that is open already.

    `sha256` is that of its content; if None, the file is read for it.
    """
    reading = reading or ReadOptions()
    there = bytes_there(file)
    there.require(reading.min_read_share)
    if sha256 is None:
        file.seek(0)
        sha256 = sha256_of_open(file)
    read = _sample(file, spec, there, exact=reading.exact)
    if not read.count:
        if there.share < 1 or lacks_index(file):
            where = "before its index, or before its first picture"
            raise VideoError(f"cut short {where}: nothing of it can be read", cut_short=True)
        raise VideoError(why_no_frames(file))
    if not read.is_sought:
        there = frames_there(file, read.count, read.claimed, there)
        there.require(reading.min_read_share)
    indices = sample_indices(read.count, spec.frames)
    frames = np.stack([read.images[index] for index in indices])
    return Clip(
        frames=frames,
        frames_asked=spec.frames,
        frames_read=len(read.images),
        decoder=DECODER,
        sha256=sha256,
        read_share=there.share,
        motion=read.neighbours.motion(indices) if read.neighbours else None,
        recorded=read.recording.at,
        camera=read.recording.camera,
        stream=read.stream,
        colours=read.colours,
        movement=movement(frames) if len(read.images) > 1 else None,
    )


@dataclass(frozen=True)
class _Read:
    """Pictures of a clip, by the number of their frame."""

    images: dict[int, Any]
    count: int
    """How many frames the clip has."""
    claimed: int = 0
    """How many the header says that it has: often wrong."""
    is_sought: bool = False
    """Frames were sought: the pictures are one of each part, and `count` is their number."""
    neighbours: Neighbours | None = None
    """If motion is to be measured."""
    recording: Recording = NOT_STATED
    stream: int | None = None
    colours: Remark | None = None


def _sample(file: File, spec: ClipSpec, there: There, *, exact: bool) -> _Read:
    """The frames that are sampled, and no others. They may be sought (`learner.seeking`).

    Raises:
        VideoError: the file gave other frames when it was read again.
    """
    try:
        read = _scan(file, spec, seek_in=there, exact=exact)
    except NotSoughtError as error:
        read = _scan(file, spec, error.count)
    # Some recordings have no key frame: each picture renews a part of it.
    has_key = read.count > 0
    if not has_key:
        read = _scan(file, spec, from_key=False)
    wanted = set(sample_indices(read.count, spec.frames)) if read.count else set()
    if not wanted <= read.images.keys():
        first = read
        read = _scan(file, spec, first.count, from_key=has_key)
        if read.count != first.count or not wanted <= read.images.keys():
            raise VideoError(
                f"damaged: {counted(first.count, 'frame')} at first, {read.count} when read again"
            )
    return replace(read, images={index: read.images[index] for index in wanted})


def _scan(
    file: File,
    spec: ClipSpec,
    count: int = 0,
    *,
    exact: bool = False,
    seek_in: There | None = None,
    from_key: bool = True,
) -> _Read:
    """Decode every frame, and make pictures of those that are wanted of a clip of `count` frames.

    If `count` is 0, the header's count is taken. If `from_key`, the first frame is a key frame. It
    decodes by FFmpeg itself, not by OpenCV: OpenCV 5.0 gives old pictures again, with no error, for
    interlaced video and for some colour matrices. With one thread, which is fastest for short clips
    if several are read at once. If `seek_in`, frames may be sought.

    Raises:
        NotSoughtError: it may seek, and the clip is long, but seeking fails or saves nothing.
    """
    images: dict[int, Any] = {}
    neighbours = Neighbours() if spec.motion else None
    picture = Picture(spec)
    found = claimed = 0
    recording = NOT_STATED
    number = None
    with to_the_first_error(), open_container(file) as container:
        stream, number = film(container, file)
        if stream:
            refuse_huge(stream)
            claimed = stream.frames
            recording = by_container(container.metadata, stream.metadata)
        if stream and stream.codec_context:
            prepare(container, stream, file)
            if seek_in and seeks(container, stream, seek_in):
                few = Wanted(spec.frames, exact, with_next=spec.motion)
                found_few = pairs(container, stream, few, seek_in)
                for part, (frame, following) in enumerate(found_few):
                    images[part] = picture.of(frame)
                    if neighbours:
                        neighbours.add(part, frame, following)
                count = spec.frames
                return _Read(images, count, 0, True, neighbours, recording, number, picture.colours)
            wanted = set(sample_indices(count or claimed or _stored(file), spec.frames))
            for frame in whole_frames(container, stream, whole=not from_key):
                if found in wanted:
                    images[found] = picture.of(frame)
                if neighbours:
                    neighbours.see(frame, is_wanted=found in wanted)
                found += 1
    if neighbours:
        neighbours.end()
    return _Read(images, found, claimed, False, neighbours, recording, number, picture.colours)


def prepare(container: Any, stream: Any, file: File) -> None:
    """Set how a stream is decoded, before its first packet: with one thread, and no huge pictures.

    Args:
        container: An open container.
        stream: Its stream of pictures, which has a decoder.
        file: What the container was opened on.
    """
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
    colours.take_stated_depth(container, stream, file)


def _stored(file: File) -> int:
    """The number of packets from the first key frame on.

    To count them costs little beside decoding. It says where to sample, but not whether the clip is
    whole: one that is cut short has fewer.
    """
    with to_the_first_error(), open_container(file) as container:
        found = packets(container, film(container, file).stream)
        are_keys = [packet.is_keyframe for packet in found if packet.size]
        return len(are_keys) - (are_keys.index(True) if True in are_keys else 0)
    return 0


class Picture:
    """Frames to pictures of the size that `spec` asks for, `(size, size, 3)` uint8 RGB, upright.

    It keeps FFmpeg's scalers for all frames of a clip, on one thread: a new scaler for each frame,
    which starts threads, takes three times as long.
    """

    def __init__(self, spec: ClipSpec) -> None:
        self._spec = spec
        self._scaler = VideoReformatter()
        self._converter = VideoReformatter()
        self.colours: Remark | None = None
        """What was done to the colours of a frame; None if they are as ever."""

    def of(self, frame: Any) -> Any:
        """The picture of a frame, turned and mirrored as the recorder states."""
        is_hdr = colours.is_hdr(frame)
        if is_hdr and not self.colours:
            self.colours = "hdr"
        if colours.take_nearest(frame):
            self.colours = "nearest"
        rgb = "rgb48le" if is_hdr else "rgb24"
        with converting(frame):
            make = self._cropped if self._spec.fit == "crop" else self._squashed
            image = make(frame, rgb)
        return upright(colours.mapped(image, frame) if is_hdr else image, frame)

    def _squashed(self, frame: Any, rgb: str) -> Any:
        """By the mean of the area of each pixel.

        It is scaled in the video's own colours: to convert the small picture costs less. Only
        planes of luma and chroma, since FFmpeg cannot always write other formats.
        """
        has_planes = frame.format.is_planar and not frame.format.is_rgb
        size = self._spec.size
        small = self._scaler.reformat(
            frame,
            size,
            size,
            None if has_planes else rgb,
            interpolation=Interpolation.AREA,
            threads=1,
        )
        return self._converter.reformat(small, format=rgb, threads=1).to_ndarray()

    def _cropped(self, frame: Any, rgb: str) -> Any:
        image = self._converter.reformat(frame, format=rgb, threads=1).to_ndarray()
        side = min(image.shape[:2])
        size = self._spec.size
        top, left = ((length - side) // 2 for length in image.shape[:2])
        how = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
        return cv2.resize(
            image[top : top + side, left : left + side], (size, size), interpolation=how
        )

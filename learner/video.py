"""Opens videos: a file into uint8 RGB frames, sampled evenly over the clip. Knows no model and no database.

Every decoder process loads this module, so it imports neither torch nor timm.
"""

import contextlib
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.error
import cv2
import numpy as np

from learner.container import stated_size
from learner.errors import VidwatchError
from learner.spec import ClipSpec

# Containers of moving pictures. FFmpeg would also open scripts that name other files (ffconcat, HLS, DASH), pictures,
# text ("tty") and devices: a prediction on those would be on something else than the file that was dropped.
VIDEO_FORMATS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vvc,av1,obu,ivf,flv,live_flv,asf,asf_o,ogg,mjpeg,"
    "mjpeg_2000,mxf,nut,rm,dv,h261,h263,dirac,vc1,vc1test,yuv4mpegpipe,wtv,nsv,gxf,swf,3dostr,amv,avs,avs2,avs3,"
    "cavsvideo,film_cpk,flic,ipmovie,lvf,mlv,mtv,nuv,pmp,rpl,smjpeg,smk,bink,roq,vmd,wc3movie,xmv,yop,dxa,ea,dsicin,idcin,msf"
)
OTHER_FORMATS = (
    "image2,png_pipe,jpeg_pipe,jpegls_pipe,j2k_pipe,jpegxl_pipe,jpegxl_anim,bmp_pipe,gif,gif_pipe,tiff_pipe,webp_pipe,"
    "webp_anim,apng,ico,psd_pipe,svg_pipe,exr_pipe,dds_pipe,hdr_pipe,pam_pipe,pbm_pipe,pgm_pipe,ppm_pipe,pgx_pipe,qoi_pipe,"
    "sgi_pipe,sunrast_pipe,pcx_pipe,xbm_pipe,xpm_pipe,mp3,wav,w64,flac,aac,ac3,eac3,dts,amr,amrnb,amrwb,aiff,au,ape,caf,"
    "wv,tta,opus,tak,mpc,mpc8,dsf,oma,voc,truehd,loas"
)
# Of the running time that a container states, the share that may be missing before the file counts as cut short.
TOLERATED_GAP = 0.05
# Of the frames that are stored, the share that may yield none: VP8 stores some that are never shown.
TOLERATED_LOSS = 0.1
PICTURE_BRANDS = ("avif", "heic", "heix", "heim", "heis", "mif1")


class VideoError(VidwatchError):
    """The file holds no frames that can be classified; dropping the same bytes again gives the same answer."""


@dataclass(frozen=True)
class Clip:
    """Frames of one file, `(T, size, size, 3)` uint8 RGB, and how they were come by.

    `frames_read` counts the different frames that were really decoded: a clip shorter than `frames_asked` repeats some.
    """

    frames: np.ndarray[Any, np.dtype[np.uint8]]
    frames_asked: int
    frames_read: int
    decoder: str
    sha256: str

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.frames, dtype=dtype, copy=copy)


def sample_indices(count: int, frames: int) -> list[int]:
    """The middle frame of each of `frames` equal parts of `count` frames; frames repeat where the clip is shorter."""
    return [(2 * part + 1) * count // (2 * frames) for part in range(frames)]


def read_clip(path: str | bytes | os.PathLike[Any], spec: ClipSpec) -> Clip:
    """Decode the frames that `spec` asks for. What a file is, its content says, not its name.

    Raises:
        VideoError: not a video, cut short, damaged, or without a frame that can be decoded.
        OSError: the file is gone or may not be read.
    """
    with _open_regular(path) as file:
        stated, size = stated_size(file), os.fstat(file.fileno()).st_size
        if size < stated:
            raise VideoError(f"cut short: its container says that it has {stated} bytes, but it has {size}")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        # A name without surprises: FFmpeg reads "%03d" and "x:" in names, and not all names are UTF-8.
        name = f"/proc/self/fd/{file.fileno()}"
        images, count, claimed = _sample(name, spec)
        if not count:
            raise VideoError(_why_no_frames(name))
        _require_whole(name, count, claimed)
        frames = np.stack([images[i] for i in sample_indices(count, spec.frames)])
        return Clip(frames, spec.frames, len(images), "pyav", sha256)


@contextlib.contextmanager
def _open_regular(path: str | bytes | os.PathLike[Any]) -> Iterator[io.BufferedReader]:
    """A regular file, open for reading. A FIFO or a device would block for ever or never end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise VideoError("not a regular file (a folder, a pipe or a device)")
        if info.st_size == 0:
            raise VideoError("the file is empty (0 bytes)")
        yield file


def _sample(name: str, spec: ClipSpec) -> tuple[dict[int, Any], int, int]:
    """The sampled frames by index, how many frames there are, and how many the header claims: often a wrong count.

    Raises:
        VideoError: the file gave other frames when it was read again.
    """
    claimed, packets = _frame_counts(name)
    images, count = _scan(name, spec, claimed or packets)
    wanted = set(sample_indices(count, spec.frames)) if count else set()
    if not wanted <= images.keys():
        images, again = _scan(name, spec, count)
        if again != count or not wanted <= images.keys():
            raise VideoError(f"damaged: {count} frames at first, {again} when read again")
    return {index: images[index] for index in wanted}, count, claimed


def _frame_counts(name: str) -> tuple[int, int]:
    """What the header says; and where it says nothing, the number of packets, which costs little beside decoding.

    Packets tell where to sample, and nothing of whether the clip is whole: one that is cut short has fewer.
    """
    with contextlib.suppress(av.error.FFmpegError), _container(name) as container:
        if stream := container.streams.best("video"):
            return stream.frames, 0 if stream.frames else sum(1 for packet in container.demux(stream) if packet.size)
    return 0, 0


def _scan(name: str, spec: ClipSpec, count: int) -> tuple[dict[int, Any], int]:
    """Decode every frame, and convert those wanted of a clip of `count` frames; gives these and the real count.

    By FFmpeg itself, not by OpenCV: its 5.0 hands out stale pictures, with no error, for interlaced video and for some
    colour matrices. One thread, the fastest for short clips where several are read at once.
    """
    images: dict[int, Any] = {}
    wanted, found = set(sample_indices(count, spec.frames)), 0
    # An error ends the clip where it stands: whether enough of it was read is judged by the caller.
    with contextlib.suppress(av.error.FFmpegError), _container(name) as container:
        stream = container.streams.best("video")
        if stream and stream.codec_context:
            stream.codec_context.thread_count = 1
            for frame in _whole_frames(container, stream):
                if found in wanted:
                    images[found] = _fit(_upright(frame), spec)
                found += 1
    return images, found


def _whole_frames(container: Any, stream: Any) -> Iterator[Any]:
    """The frames that are as they were recorded: those after a damaged one refer to it, up to the next key frame."""
    whole = True
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            whole = False
            continue
        for frame in frames:
            whole = (whole or frame.key_frame) and not frame.is_corrupt
            if whole:
                yield frame


def _upright(frame: Any) -> Any:
    """RGB pixels, turned as the recorder's flag says."""
    try:
        image = frame.to_ndarray(format="rgb24")
    except av.error.FFmpegError as error:
        raise VideoError(f"its colours cannot be converted ({frame.format.name}, {error.strerror})") from error
    return np.ascontiguousarray(np.rot90(image, k=round(frame.rotation / 90)))


def _fit(image: Any, spec: ClipSpec) -> Any:
    height, width = image.shape[:2]
    if spec.fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[top : top + side, left : left + side]
    shrinks = min(image.shape[:2]) >= spec.size
    return cv2.resize(image, (spec.size, spec.size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _container(path: str, formats: str = VIDEO_FORMATS) -> Any:
    return av.open(path, options={"format_whitelist": formats, "protocol_whitelist": "file"}, metadata_errors="replace")


def _require_whole(name: str, count: int, claimed: int) -> None:
    """Refuse a clip of which frames are missing or cannot be decoded, and a picture in a video's container.

    A count that differs from the header's is no proof (edit lists, variable rates): the packets are.
    """
    if count == claimed and count > 1:
        return
    try:
        with _container(name) as container:
            stream = container.streams.best("video")
            if stream.disposition & av.stream.Disposition.attached_pic:
                raise VideoError("not a video: sound with a cover picture")
            if container.metadata.get("major_brand") in PICTURE_BRANDS:
                raise VideoError("not a video: a picture (HEIF or AVIF)")
            seconds, covered, packets, length = _running_time(container, stream)
            rate = float(stream.average_rate or 0)
    except (av.error.FFmpegError, AttributeError) as error:
        raise VideoError(f"its end cannot be checked ({error})") from error
    if seconds and covered < seconds * (1 - TOLERATED_GAP):
        raise VideoError(f"cut short: it should run for {seconds:.1f} s, but ends after {covered:.1f} s")
    # Interlaced video may have two packets a frame, and a variable rate is guessed: only what both say is missing, is.
    stored = min(packets, round(length * rate)) if rate else packets
    if count < stored * (1 - TOLERATED_LOSS):
        raise VideoError(f"damaged: it has {stored} frames, but only {count} of them can be decoded")


def _running_time(container: Any, stream: Any) -> tuple[float, float, int, float]:
    """Seconds stated (0 where none are), seconds reached, and the number and seconds of the pictures' packets.

    Stated by the stream of pictures, then compared with that alone; else by the container, and then it is the time at
    which the longest of all streams ends. Matroska counts that from 0, wherever its first picture stands.
    """
    own = float(stream.duration * stream.time_base) if stream.duration else 0.0
    first, last, packets, end = float("inf"), 0.0, 0, 0.0
    with contextlib.suppress(av.error.FFmpegError):
        for packet in container.demux(*([stream] if own else [])):
            if not packet.size or packet.is_discard:
                continue
            is_picture = packet.stream.index == stream.index
            packets += is_picture
            if packet.pts is not None:
                until = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                end = max(end, until)
                if is_picture:
                    first, last = min(first, float(packet.pts * packet.time_base)), max(last, until)
    length = max(last - first, 0.0)
    if own:
        return own, last - float((stream.start_time or 0) * stream.time_base), packets, length
    return (container.duration or 0) / av.time_base, end, packets, length


def _why_no_frames(path: str) -> str:
    for formats in (VIDEO_FORMATS, OTHER_FORMATS):
        try:
            with _container(path, formats) as container:
                name = container.format.long_name or container.format.name
                if formats is VIDEO_FORMATS and container.streams.video:
                    return f"no frame can be decoded ({name}, {_codec(container)})"
                if container.streams.video:
                    return f"not a video: a picture ({_codec(container)})"
                return f"not a video: sound only ({name})"
        except (av.error.FFmpegError, ValueError, LookupError):
            continue
    return "not a video, or cut short before its index: no video format recognises it"


def _codec(container: Any) -> str:
    context = container.streams.video[0].codec_context
    return str(context.name) if context else "unknown codec"

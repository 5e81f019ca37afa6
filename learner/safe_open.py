"""Opens a file, and FFmpeg on it, so that FFmpeg can open nothing else. Decodes nothing."""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterator
from typing import Any

import av
import av.error

from learner.demuxers import PICTURES, SOUND, VIDEO, names
from learner.errors import VidwatchError
from learner.jpeg import Film, film_in, is_motion_photo
from learner.naming import lab_format, unknown_codec

# FFmpeg would also open scripts that name other files (ffconcat, HLS, DASH), containers that search
# for a second file (mlv, VobSub), text ("tty") and devices: a prediction for those would be for
# something else than the file that arrived.
VIDEO_FORMATS = ",".join(names(VIDEO))
# Only to say what a file is. None of them opens another file, as patterns of names (image2) and SVG
# do.
OTHER_FORMATS = ",".join(names(PICTURES, SOUND))
# Twice the largest that cameras record (8K). A few bytes can claim a picture of some gigabytes.
MAX_PIXELS = 8192 * 8192
FARTHEST = 2**62

File = io.BufferedReader


class VideoError(VidwatchError):
    """The file holds no frames that can be classified, and the same bytes never will.

    Args:
        reason: in plain words.
        cut_short: its end is missing: the same file may be readable when more of it has arrived.
    """

    def __init__(self, reason: str, cut_short: bool = False) -> None:
        super().__init__(reason)
        self.cut_short = cut_short


@contextlib.contextmanager
def open_regular(
    path: str | bytes | os.PathLike[Any], *, follow_links: bool = True
) -> Iterator[File]:
    """A regular file, open for reading. Anything else is recognised without being opened.

    A FIFO would block for ever, a device may never end, and some do something when they are opened.

    Raises:
        VideoError: it is not a regular file, or it is empty.
        OSError: it is gone or may not be read.
    """
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW))
    try:
        info = os.fstat(handle)
        if not stat.S_ISREG(info.st_mode):
            raise VideoError("not a regular file (a folder, a link, a pipe or a device)")
        if info.st_size == 0:
            raise VideoError("the file is empty (0 bytes)", cut_short=True)
        descriptor = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(handle)
    with os.fdopen(descriptor, "rb") as file:
        yield file


class _Source:
    """What FFmpeg reads a file from: a descriptor with a position of its own.

    A damaged file makes FFmpeg seek to places that are in no file. It must get an error code for
    that: an exception would not reach it, and would end the reading as if the disk had failed.
    """

    def __init__(self, descriptor: int, begin: int = 0) -> None:
        self._descriptor = descriptor
        self._begin = begin
        """Where the film begins in the file, in bytes."""
        self._at = 0

    def read(self, size: int) -> bytes:
        data = os.pread(self._descriptor, size, self._begin + self._at)
        self._at += len(data)
        return data

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int) -> int:
        starts = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._at,
            os.SEEK_END: max(os.fstat(self._descriptor).st_size - self._begin, 0),
        }
        at = starts[whence] + offset
        if not 0 <= at < FARTHEST:
            return -errno.EINVAL
        self._at = at
        return at


def open_container(
    file: File,
    formats: str = VIDEO_FORMATS,
    max_pixels: int | None = MAX_PIXELS,
    film: Film | None = None,
) -> Any:
    """FFmpeg on an open file.

    It has no protocol to open another file with, and if it asks for one, that is refused.

    Args:
        file: An open file.
        formats: The demuxers that may read it.
        max_pixels: The largest pictures; None for no limit.
        film: Where the film is; if None, it is looked for.

    Raises:
        FFmpegError: none of the demuxers can read it.
    """
    options = {"format_whitelist": formats, "protocol_whitelist": ""}
    if max_pixels:
        options["max_pixels"] = str(max_pixels)
    film = film or film_in(file)
    return av.open(
        _Source(file.fileno(), film.begin),
        format=film.format,
        options=options,
        metadata_errors="replace",
        io_open=_refuse_to_open,
    )


def _refuse_to_open(name: str, *_: Any) -> Any:
    raise VideoError(f"it names another file, which is not opened: {name[:200]!r}")


def packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of these streams, or of all.

    PyAV 18 sometimes ends in an IndexError if a stream is found on the way, such as sound that
    begins later.
    """
    with contextlib.suppress(IndexError):
        yield from container.demux(*streams)


def refuse_huge(stream: Any) -> None:
    """Refuse pictures of more than `MAX_PIXELS` before one is decoded, by the container's figures.

    Raises:
        VideoError: they are too large.
    """
    if not stream.codec_context:
        return
    width = stream.width or 0
    height = stream.height or 0
    if width * height > MAX_PIXELS:
        most = f"{MAX_PIXELS / 1e6:.0f} megapixels are the most"
        raise VideoError(f"its pictures are too large: {width}x{height}, and {most}")


def why_no_frames(file: File) -> str:
    """Says in plain words what a file is that gave no frame."""
    if known := lab_format(file):
        return f"not a video: {known}"
    found = film_in(file)
    photo = found._replace(begin=0)
    for formats, film in ((VIDEO_FORMATS, found), (OTHER_FORMATS, photo)):
        try:
            with open_container(file, formats, max_pixels=None, film=film) as container:
                if formats is VIDEO_FORMATS and container.streams.video:
                    return _why_not_decoded(file, container)
                if container.streams.video and is_motion_photo(file):
                    return "a motion photo, but its film is not in the file, or cannot be read"
                if container.streams.video:
                    return f"not a video: a picture ({_codec(container)})"
                name = container.format.long_name or container.format.name
                if container.streams.audio:
                    return f"not a video: sound only ({name})"
                return f"not a video: no pictures in it ({name})"
        except MemoryError:
            raise
        except (av.error.FFmpegError, ValueError, LookupError):
            continue
    return "not a video: no video format recognises it"


def _why_not_decoded(file: File, container: Any) -> str:
    stream = container.streams.video[0]
    refuse_huge(stream)
    name = container.format.long_name or container.format.name
    codec = _codec(container)
    hint = ""
    if stream.codec_context is None:
        fourcc = unknown_codec(file)
        codec = f"unknown codec {fourcc}" if fourcc else "unknown codec"
        hint = "; convert it to H.264 with the program or the camera's software that made it"
    elif not stream.width:
        hint = "; its pictures have no size, or too large a one"
    return f"no frame can be decoded ({name}, {codec}){hint}"


def _codec(container: Any) -> str:
    context = container.streams.video[0].codec_context
    return str(context.name) if context else "unknown codec"

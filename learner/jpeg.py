"""Files that begin with a JPEG: a film of JPEGs, or a photo with a film behind it.

FFmpeg takes each of them for a picture.
"""

import re
from typing import BinaryIO, NamedTuple

SOI = b"\xff\xd8\xff"  # a JPEG begins with it
EOI = 0xD9
SCAN = 0xDA
SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# In what is scanned, 0xFF is followed by 0, or by the number of a restart.
NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# By Google (two versions) and by Samsung.
MOTION_PHOTO = re.compile(rb"MotionPhoto|MicroVideo")
FIRST_BOX = re.compile(rb"(?P<size>\0\0..)ftyp", re.DOTALL)  # of an MP4
FIRST_BYTES = 1 << 18  # the XMP data of a photo lie in these
LARGEST = 1 << 26  # bytes of one JPEG
CHUNK = 1 << 20


class Film(NamedTuple):
    """Where the film in a file is, and by which demuxer it is read."""

    begin: int = 0
    """In bytes."""
    format: str | None = None
    """None if the content says it."""


def film_in(file: BinaryIO) -> Film:
    """Where the film is; at 0 if the file does not begin with a JPEG, or has no other film."""
    file.seek(0)
    if file.read(len(SOI)) != SOI:
        return Film()
    size = CHUNK
    first = None
    while first is None and size <= LARGEST:
        file.seek(0)
        data = file.read(size)
        first = _picture(data)
        is_all = len(data) < size
        size *= 4
        if is_all:
            break
    if first is None:
        return Film()
    # Photos with a second one, for depth or brightness, have an index of them.
    file.seek(first.end)
    behind = file.read(CHUNK).lstrip(b"\0")
    has_second = behind.startswith(SOI)
    if has_second and not first.has_index:
        second = _picture(behind)
        if second is None or second.size == first.size:
            return Film(format="mjpeg")
    begin = _mp4_behind(file, first.end)
    if begin:
        return Film(begin)
    return Film(format="jpeg_pipe") if has_second else Film()


def is_motion_photo(file: BinaryIO) -> bool:
    """Whether it calls itself a photo with a film behind it."""
    file.seek(0)
    head = file.read(FIRST_BYTES)
    return head.startswith(SOI) and bool(MOTION_PHOTO.search(head))


class _Picture(NamedTuple):
    end: int
    size: bytes
    has_index: bool


def _picture(data: bytes) -> _Picture | None:
    """The JPEG at the beginning of some bytes; None if it does not end in them."""
    at = 2
    size = b""
    has_index = False
    while (marker := NEXT_MARKER.search(data, at)) and marker.end() + 2 <= len(data):
        kind = data[marker.end() - 1]
        at = marker.end()
        if kind == EOI:
            return _Picture(at, size, has_index)
        length = int.from_bytes(data[at : at + 2], "big")
        if kind in SIZES:
            size = data[at + 3 : at + 7]
        has_index = has_index or data[at + 2 : at + 6] == b"MPF\0"
        at += length
    if marker and data[marker.end() - 1] == EOI:
        return _Picture(marker.end(), size, has_index)
    return None


def _mp4_behind(file: BinaryIO, end: int) -> int:
    """Where the first MP4 behind a picture begins; 0 if there is none."""
    at = end
    while True:
        file.seek(at)
        data = file.read(CHUNK)
        for found in FIRST_BOX.finditer(data):
            if 16 <= int.from_bytes(found["size"], "big") <= 1024:
                return at + found.start()
        if len(data) < CHUNK:
            return 0
        at += CHUNK - 8

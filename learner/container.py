"""Whether a file is as long as its container says. Reads sizes only, decodes nothing."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

# Some AVI writers count the eight bytes of the chunk's own header in its size.
RIFF_SLACK = 8
MATROSKA = b"\x1a\x45\xdf\xa3"
MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
FLV_FIRST_TAG = 4096  # bytes; it is longer if it has an index of key frames, which comes last
FLV_LARGEST = 2**53  # a number that is no size is damaged
MP4_FIRST_BOXES = {b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
MP4_BOXES = MP4_FIRST_BOXES | {
    b"moof",
    b"mfra",
    b"sidx",
    b"ssix",
    b"emsg",
    b"prft",
    b"uuid",
    b"udta",
    b"meta",
    b"pdin",
}


def stated_size(file: BinaryIO) -> int:
    """The bytes that the file should have, by its container; 0 if that does not say.

    AVI, MP4, Matroska, ASF and most FLV state their sizes; a transport stream is a whole number of
    packets. Other containers, and live recordings of unknown size, give 0. This check is needed:
    FFmpeg itself takes an AVI of which a fifth is missing for a whole one.
    """
    file.seek(0)
    head = file.read(193 + 192)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return _riff_size(file)
    if head[4:8] in MP4_FIRST_BOXES:
        return _mp4_size(file)
    if head[:4] == MATROSKA:
        return _matroska_size(file)
    if head[:16] == ASF_HEADER:
        return _asf_size(file)
    if head[:3] == b"FLV":
        return _flv_size(file)
    # 188 bytes a packet, or 192 with a Blu-ray's or camcorder's time code before each.
    for packet, sync in ((188, 0), (192, 4)):
        if head[sync::packet][:2] == b"\x47\x47":
            return _packets_size(file, packet, sync)
    return 0


def _length(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def _riff_size(file: BinaryIO) -> int:
    """The end of the last RIFF chunk: files over 1 GB have several, one after the other."""
    end = 0
    while end < _length(file):
        file.seek(end)
        header = file.read(8)
        size = int.from_bytes(header[4:8], "little")
        # A recorder that was stopped hard leaves 0 or all ones: the size is not known.
        if header[:4] != b"RIFF" or size in (0, 0xFFFFFFFF):
            break
        end += 8 + size
    return end - RIFF_SLACK


def lacks_index(file: BinaryIO) -> bool:
    """Whether it is an MP4 with pictures but without an index, which recorders write last."""
    kinds = {kind for kind, _ in _mp4_boxes(file)}
    return b"mdat" in kinds and not kinds & {b"moov", b"moof"}


def _mp4_size(file: BinaryIO) -> int:
    """The end of the last top-level box."""
    return max((end for _, end in _mp4_boxes(file)), default=0)


def _mp4_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The kind of each top-level box, and where it ends."""
    end = 0
    while end < _length(file):
        file.seek(end)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        kind = header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        # A size of 0 means "to the end of the file". What is no box is rubbish after the video.
        if kind not in MP4_BOXES or 0 < size < 8:
            break
        end = end + size if size else _length(file)
        yield kind, end


def _packets_size(file: BinaryIO, packet: int, sync: int) -> int:
    """A whole number of packets: one more than there are if the last one does not begin as one."""
    end = -(-_length(file) // packet) * packet
    file.seek(end - packet + sync)
    return end if file.read(1) == b"\x47" else end + packet


def _asf_size(file: BinaryIO) -> int:
    """The size in the file properties; 0 for a broadcast, of which the size was not known."""
    file.seek(30)
    while header := file.read(24):
        size = int.from_bytes(header[16:], "little")
        if header[:16] == ASF_FILE_PROPERTIES:
            properties = file.read(68)
            return 0 if properties[64] & 1 else int.from_bytes(properties[16:24], "little")
        # A damaged size points to where no file can be.
        if not 24 <= size <= _length(file):
            break
        file.seek(size - 24, os.SEEK_CUR)
    return 0


def _flv_size(file: BinaryIO) -> int:
    """The size in the first tag, which holds names and numbers; 0 if it is not among them."""
    file.seek(0)
    _, name, after = file.read(FLV_FIRST_TAG).partition(b"\x00\x08filesize\x00")
    if not name or len(after) < 8:
        return 0
    (size,) = struct.unpack(">d", after[:8])
    return int(size) if 0 < size < FLV_LARGEST else 0


def _matroska_size(file: BinaryIO) -> int:
    """The end of the segment, which holds everything; 0 if a live recorder left it open."""
    file.seek(len(MATROSKA))
    header = _matroska_number(file)
    if header is None or header > _length(file):
        return 0
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != MATROSKA_SEGMENT:
        return 0
    size = _matroska_number(file)
    return 0 if size is None else file.tell() + size


def _matroska_number(file: BinaryIO) -> int | None:
    """A size of 1 to 8 bytes, one more than its first byte has leading zeros; None if unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    bits = int.from_bytes(first + file.read(length - 1), "big") & ((1 << 7 * length) - 1)
    return None if bits == (1 << 7 * length) - 1 else bits

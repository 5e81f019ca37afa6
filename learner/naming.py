"""Says what a file is that nobody can read as a video: by its first bytes, not by its name."""

import re
from typing import BinaryIO

# Of formats of cameras and laboratories: where the bytes are, what they are, and what is to be
# said.
LAB_FORMATS = (
    (4, "Norpix seq".encode("utf-16-le"), "a Norpix StreamPix sequence (.seq)", "StreamPix"),
    (0, b"\xed\xfe\0\0", "a Norpix StreamPix sequence (.seq)", "StreamPix"),
    (0, b"FFF\0", "a FLIR thermal recording (.seq, .fff)", "FLIR Research Studio"),
    (0, b"Andor Technology", "an Andor recording (.sif)", "Andor Solis, or Fiji with Bio-Formats"),
    (0, b"DCIMG", "a Hamamatsu recording (.dcimg)", "HCImage"),
    (0, b"ZISRAWFILE", "a Zeiss recording (.czi)", "Fiji with Bio-Formats"),
    (0, b"\xda\xce\xbe\x0a", "a Nikon recording (.nd2)", "NIS-Elements, or Fiji with Bio-Formats"),
    (0, b"ufmf", "a micro fly movie (.ufmf)", "JAABA, or Ctrax"),
    (0, b"MLVI", "a Magic Lantern recording (.mlv)", "MLV App"),
    (0, b"ARRI", "an ARRIRAW picture (.ari)", "ARRI's reference tool"),
    (128, b"DICM", "a medical recording (DICOM)", "dcmtk's dcmj2pnm and ffmpeg, or Fiji"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file", "the program that wrote it"),
    (
        0,
        bytes.fromhex("d0cf11e0a1b11ae1"),
        "an OLE compound file: an old Office document, or a recording (.cxd, .oib)",
        "Fiji with Bio-Formats",
    ),
)
# Bytes at the beginning and at the end in which a container names its codec.
SEARCHED = 1 << 20
CODEC_NAMES = (
    # AVI: the compression in the format of the stream. MP4: the first entry of the sample
    # descriptions of a track of pictures. Matroska: the codec's ID.
    re.compile(rb"vids.{50,80}?strf.{20}(?P<name>[\x20-\x7e]{4})", re.DOTALL),
    re.compile(rb"vide.{60,2000}?stsd.{12}(?P<name>[\x20-\x7e]{4})", re.DOTALL),
    re.compile(rb"\x86[\x81-\xbf](?P<name>V_[\x20-\x7e]+)"),
)


def lab_format(file: BinaryIO) -> str:
    """What a recording of a laboratory is that FFmpeg cannot read, and what to do; "" if none."""
    file.seek(0)
    head = file.read(256)
    for at, magic, name, program in LAB_FORMATS:
        if head[at:].startswith(magic):
            return f"{name}, which vidwatch cannot read; save it as AVI or MP4 with {program}"
    return ""


def unknown_codec(file: BinaryIO) -> str:
    """How a container names the codec of its pictures (FourCC, or Matroska's ID); "" if unknown."""
    file.seek(0)
    size = file.seek(0, 2)
    for begin in (0, max(0, size - SEARCHED)):
        file.seek(begin)
        data = file.read(SEARCHED)
        for pattern in CODEC_NAMES:
            if found := pattern.search(data):
                return found["name"].decode("ascii").strip()
    return ""

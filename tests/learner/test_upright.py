"""Clips are seen as the recorder means them: turned, mirrored, or both."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from learner.spec import ClipSpec
from learner.video import read_clip

SPEC = ClipSpec(frames=2, size=32, fit="squash")
# The eight orientations of EXIF, and where the axes of the picture point to in each: a, b, c and d
# of the display matrix.
EXIF = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def encode(path: Path, codec: str) -> Path:
    """A clip of a picture whose four corners differ: white, grey, dark grey and black."""
    image = np.zeros((32, 32), np.uint8)
    image[:16, :16], image[:16, 16:], image[16:, :16] = 255, 150, 60
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.stack([image] * 3, -1), format="rgb24")
        for n in range(10):
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_matrix(path: Path, out: Path, way: tuple[int, ...]) -> Path:
    """A copy of an MP4 whose header states this way."""
    a, b, c, d = (value << 16 for value in way)
    data = path.read_bytes()
    identity = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = data.index(identity, data.index(b"tkhd"))
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    out.write_bytes(data[:at] + matrix + data[at + 36 :])
    return out


def with_orientation(path: Path, out: Path, orientation: int) -> Path:
    """A copy of an MJPEG AVI, each picture of which states this orientation."""
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    body = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                mark = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
                data = bytes(packet)
                new = av.Packet(data[:2] + mark + data[2:])
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.stream = stream
                target.mux(new)
    return out


def remuxed(path: Path, out: Path) -> Path:
    """The same stream in another container, with what it states of itself."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    return out


def turned_by_hand(image: Any, way: tuple[int, ...]) -> Any:
    """Each pixel, counted from the centre, goes where the way puts it."""
    a, b, c, d = way
    size = len(image)
    seen = np.zeros_like(image)
    for y, x in np.ndindex(size, size):
        right, down = 2 * x - size + 1, 2 * y - size + 1
        new_x, new_y = a * right + c * down, b * right + d * down
        seen[(new_y + size - 1) // 2, (new_x + size - 1) // 2] = image[y, x]
    return seen


def require_turned(path: Path, stored: Path, way: tuple[int, ...]) -> None:
    before, after = (read_clip(clip, SPEC).frames[0] for clip in (stored, path))
    np.testing.assert_array_equal(after, turned_by_hand(before, way))


@pytest.mark.parametrize("way", EXIF.values())
def test_what_mp4_and_matroska_state(tmp_path: Path, way: tuple[int, ...]) -> None:
    stored = encode(tmp_path / "stored.mp4", "mpeg4")
    stated = with_matrix(stored, tmp_path / "stated.mp4", way)
    require_turned(stated, stored, way)
    require_turned(remuxed(stated, tmp_path / "stated.mkv"), stored, way)


def test_a_matrix_of_zeros_turns_nothing(tmp_path: Path) -> None:
    stored = encode(tmp_path / "stored.mp4", "mpeg4")
    require_turned(with_matrix(stored, tmp_path / "zeros.mp4", (0, 0, 0, 0)), stored, (1, 0, 0, 1))


@pytest.mark.parametrize("orientation", EXIF)
def test_the_orientation_of_each_jpeg(tmp_path: Path, orientation: int) -> None:
    stored = encode(tmp_path / "stored.avi", "mjpeg")
    stated = with_orientation(stored, tmp_path / "stated.avi", orientation)
    require_turned(stated, stored, EXIF[orientation])

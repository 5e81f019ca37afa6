"""Whole files are taken for whole whatever their clocks say, and cut ones for what is there."""

import shutil
import struct
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from learner.spec import ClipSpec, ReadOptions
from learner.video import read_clip

SPEC = ClipSpec(frames=8, size=32)
ANY = ReadOptions(min_read_share=0)
MILLISECOND = Fraction(1, 1000)


def encode(
    path: Path,
    codec: str,
    *,
    seconds: float = 8,
    begins: float = 0,
    held: float = 0,
    **options: str,
) -> Path:
    """Noise, 25 frames a second.

    Args:
        path: The file.
        codec: FFmpeg's name of the encoder.
        seconds: Its length.
        begins: What its clock shows at the first frame.
        held: For how many seconds the last frame is shown.
        options: The muxer's.
    """
    random = np.random.default_rng(0)
    with av.open(str(path), "w", container_options=options) as container:
        stream: Any = container.add_stream(codec, 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.gop_size = 25
        stream.codec_context.max_b_frames = 0
        packets = []
        for n in range(round(25 * seconds)):
            image = random.integers(0, 255, (48, 64, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            packets += stream.encode(frame)
        packets += stream.encode()
        for number, packet in enumerate(packets):
            packet.pts += round(begins * 25)
            packet.dts = packet.pts
            if held and number == len(packets) - 1:
                packet.duration = round(held * 25)
            container.mux(packet)
    return path


def without_first_fragments(path: Path, count: int) -> Path:
    """The header and the later fragments: segments of a stream that was joined late."""
    data = path.read_bytes()
    kept, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        is_first = kind in (b"moof", b"mdat") and count > 0
        count -= kind == b"mdat"
        if not is_first and kind != b"mfra":
            kept += data[at : at + size]
        at += size
    joined = path.with_name(f"joined {path.name}")
    joined.write_bytes(kept)
    return joined


def share(path: Path) -> float:
    return read_clip(path, SPEC, ANY).read_share


def cut(path: Path, share: float, fill: bool = False) -> Path:
    """The first part of a file; `fill`: the rest is zeros, as when its place was reserved."""
    data = path.read_bytes()
    left = data[: round(share * len(data))]
    out = path.with_name(f"cut {fill} {path.name}")
    out.write_bytes(left + bytes(len(data) - len(left) if fill else 0))
    return out


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
LATE: list[tuple[str, str, dict[str, str]]] = [
    ("plain.mp4", "mpeg4", {"movflags": "faststart"}),
    ("fragments.mp4", "mpeg4", FRAGMENTS),
    ("late.mkv", "mpeg4", {}),
    ("late.wmv", "wmv2", {}),
    ("late.flv", "flv1", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), LATE)
def test_a_clip_whose_clock_starts_late_is_whole_and_its_cut_parts_are_not(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, codec, begins=20, **options)
    assert share(path) == 1
    found = share(cut(path, 0.6))
    # How many fragments there should be, nothing says: only the one that was cut is known.
    assert 0.9 < found < 1 if options is FRAGMENTS else found == pytest.approx(0.6, abs=0.1)


@pytest.mark.parametrize("name", ["late.mkv", "late.wmv", "late.flv"])
def test_a_late_clip_is_cut_short_where_its_place_was_reserved(tmp_path: Path, name: str) -> None:
    codec = {"late.mkv": "mpeg4", "late.wmv": "wmv2", "late.flv": "flv1"}[name]
    path = encode(tmp_path / name, codec, begins=20)
    assert share(cut(path, 0.6, fill=True)) == pytest.approx(0.6, abs=0.1)


def test_segments_of_a_stream_that_was_joined_late_are_whole(tmp_path: Path) -> None:
    path = without_first_fragments(encode(tmp_path / "a.mp4", "mpeg4", **FRAGMENTS), 4)
    assert share(path) == 1
    assert 0.9 < share(cut(path, 0.6)) < 1


@pytest.mark.parametrize("seconds", [0.48, 0.52, 0.72, 1])
def test_a_short_wmv_is_whole(tmp_path: Path, seconds: float) -> None:
    assert share(encode(tmp_path / "a.wmv", "wmv2", seconds=seconds)) == 1
    assert share(encode(tmp_path / "late.wmv", "wmv2", seconds=seconds, begins=3)) == 1


@pytest.mark.parametrize(("name", "codec"), [("a.flv", "flv1"), ("a.mkv", "mpeg4")])
def test_a_last_frame_that_is_held_is_no_gap(tmp_path: Path, name: str, codec: str) -> None:
    """As in a recording of a screen on which nothing changes any more."""
    path = encode(tmp_path / name, codec, seconds=3, held=5)
    assert share(path) == 1
    assert share(cut(path, 0.5)) < 0.6
    assert share(cut(path, 0.5, fill=True)) < 0.6


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize("ending", ["wmv", "mkv", "mp4", "ts", "avi"])
def test_a_film_that_ends_before_its_sound_is_whole(tmp_path: Path, ending: str) -> None:
    film = encode(tmp_path / "film.avi", "mpeg4", seconds=2)
    path = tmp_path / f"a.{ending}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=20", "-i", film]
    subprocess.run(
        [*command, "-c:v", "wmv2" if ending == "wmv" else "mpeg2video", path], check=True
    )
    assert share(path) == 1


def test_an_avi_whose_header_counts_too_many_frames_is_cut_short_by_its_bytes(
    tmp_path: Path,
) -> None:
    path = encode(tmp_path / "a.avi", "mpeg4")
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"avih", 24), (b"strh", 40)):  # the frames of the file, of the stream
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<I", 4 * struct.unpack("<I", data[at : at + 4])[0])
    path.write_bytes(data)
    assert share(path) == 1
    assert share(cut(path, 0.6)) == pytest.approx(0.6, abs=0.05)

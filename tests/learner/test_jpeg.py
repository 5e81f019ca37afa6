"""Films of JPEGs, and photos with a film behind them."""

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import write_video

from learner.jpeg import Film, film_in
from learner.safe_open import VideoError
from learner.spec import ClipSpec
from learner.video import read_clip

SPEC = ClipSpec(frames=4, size=16)
EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0<x Camera:MotionPhoto='1'/>"
MULTI = b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"


def jpeg(level: int, *blocks: tuple[int, bytes], size: tuple[int, int] = (48, 64)) -> bytes:
    """A grey picture with blocks of data of an application (its number and its content)."""
    data = cv2.imencode(".jpg", np.full((*size, 3), level, np.uint8))[1].tobytes()
    inner = b""
    for number, content in blocks:
        inner += bytes([0xFF, 0xE0 + number]) + (len(content) + 2).to_bytes(2, "big") + content
    return data[:2] + inner + data[2:]


@pytest.mark.parametrize("blocks", [[], [(1, EXIF)], [(1, EXIF), (1, XMP)]])
def test_a_film_of_jpegs_is_read_whatever_its_first_block_is(
    tmp_path: Path, blocks: list[tuple[int, bytes]]
) -> None:
    levels = [20, 60, 100, 140, 180, 220]
    (tmp_path / "a.mjpeg").write_bytes(b"".join(jpeg(level, *blocks) for level in levels))
    clip = read_clip(tmp_path / "a.mjpeg", SPEC)
    assert clip.frames.mean((1, 2, 3)) == pytest.approx([20, 100, 140, 220], abs=2)


@pytest.mark.parametrize(
    "data",
    [
        jpeg(90, (1, EXIF)),
        jpeg(90, (1, EXIF)) + bytes(5000),
        # With a second picture: for brightness, or as large as the first one and with an index.
        jpeg(90, (1, EXIF)) + jpeg(90, size=(24, 32)),
        jpeg(90, (1, EXIF), (2, MULTI)) + jpeg(90),
        # A small picture in the first one's block.
        jpeg(90, (1, EXIF + jpeg(90, size=(24, 32)))),
    ],
)
def test_a_photo_stays_a_picture(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(VideoError, match="not a video: a picture"):
        read_clip(tmp_path / "a.jpg", SPEC)


@pytest.mark.parametrize(
    "photo",
    [
        jpeg(90, (1, XMP)),
        jpeg(90, (1, EXIF)) + b"\0\0\x30\x0aMotionPhoto_Data",  # by Samsung
        jpeg(90, (1, XMP), (2, MULTI)) + jpeg(90),
        jpeg(90, (1, XMP)) + bytes(3 << 20),
    ],
)
def test_the_film_behind_a_photo_is_read(tmp_path: Path, photo: bytes) -> None:
    film = write_video(tmp_path / "film.mp4").read_bytes()
    (tmp_path / "a.jpg").write_bytes(photo + film + b"SEFT")
    expected = read_clip(tmp_path / "film.mp4", SPEC)
    clip = read_clip(tmp_path / "a.jpg", SPEC)
    assert np.array_equal(clip.frames, expected.frames)
    assert clip.frames_read == expected.frames_read


def test_a_photo_with_many_beginnings_of_a_film_takes_no_longer(tmp_path: Path) -> None:
    data = jpeg(90, (1, XMP)) + b"ftyp" * (1 << 18)
    (tmp_path / "a.jpg").write_bytes(data)
    begin = time.process_time()
    with (tmp_path / "a.jpg").open("rb") as file:
        assert film_in(file) == Film()
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_photo_whose_film_is_gone_says_so(tmp_path: Path, share: float) -> None:
    film = write_video(tmp_path / "film.mp4").read_bytes()
    half = film[: round(len(film) * share)]
    (tmp_path / "a.jpg").write_bytes(jpeg(90, (1, XMP)) + half)
    with pytest.raises(VideoError, match="a motion photo, but its film"):
        read_clip(tmp_path / "a.jpg", SPEC)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            b"\xed\xfe\0\0" + "Norpix seq\n".encode("utf-16-le"),
            r"StreamPix sequence \(.seq\).*save",
        ),
        (b"FFF\0", "FLIR"),
        (b"Andor Technology Multi-Channel File\n", r"\.sif"),
        (b"DCIMG", r"\.dcimg"),
        (bytes(128) + b"DICM", "DICOM"),
        (bytes.fromhex("d0cf11e0a1b11ae1"), r"\.cxd"),
    ],
)
def test_what_no_library_reads_is_named_by_its_bytes(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "a.mp4").write_bytes(data + bytes(4000))
    with pytest.raises(VideoError, match=words):
        read_clip(tmp_path / "a.mp4", SPEC)


@pytest.mark.parametrize(
    ("ending", "old", "new"),
    [
        ("mp4", b"avc1", b"XYZ1"),
        ("mov", b"avc1", b"XYZ1"),
        ("avi", b"H264", b"XYZ1"),
        ("mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ1"[:15]),
    ],
)
def test_an_unknown_codec_is_named(tmp_path: Path, ending: str, old: bytes, new: bytes) -> None:
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new).replace(b"avcC", b"xyzC"))
    with pytest.raises(VideoError, match=rf"no frame can be decoded .*{new.decode()}"):
        read_clip(path, SPEC)

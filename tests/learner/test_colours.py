"""Colours: HDR as ffmpeg's tone mapping shows it, and matrices that the converter lacks."""

import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from learner.colours import Array, take_nearest
from learner.spec import ClipSpec
from learner.video import read_clip

SIDE = 96
FRAMES = 4
SPEC = ClipSpec(FRAMES, SIDE)
# The method that `learner.colours` names, by the ffmpeg command.
MAPPED = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,"
    "tonemap=tonemap=mobius:param=0.5:desat=0:peak=4.926,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv444p"
)


def has_zscale() -> bool:
    if shutil.which("ffmpeg") is None:
        return False
    listed = subprocess.run(["ffmpeg", "-v", "error", "-filters"], capture_output=True, text=True)
    return " zscale " in listed.stdout


def by_ffmpeg(path: Path, filters: str) -> Array:
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        path,
        "-vf",
        f"{filters},scale={SIDE}:{SIDE}:flags=area",
    ]
    done = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], check=True, capture_output=True
    )
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, SIDE, SIDE, 3)


def psnr(one: Array, other: Array) -> float:
    """In dB, of the worst frame."""
    errors = ((one.astype(float) - other) ** 2).reshape(len(one), -1).mean(1)
    return float(10 * np.log10(255**2 / max(errors.max(), 1e-6)))


@pytest.mark.skipif(not has_zscale(), reason="needs an ffmpeg with zscale")
@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("light", ["limited", "full"])
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_mapped_as_the_ffmpeg_command_does_it(
    tmp_path: Path, transfer: str, light: str, fit: str
) -> None:
    """A picture with light from black to five times the white."""
    path = tmp_path / "a.mkv"
    make = (
        "format=gbrpf32le,zscale=pin=709:tin=709:min=gbr:rin=full:p=2020:t=linear:npl=1000,"
        f"zscale=t={transfer}:npl=1000:m=2020_ncl:r={light},format=yuv444p12le"
    )
    # Its own colours and places differ from run to run, whatever the seed.
    colours = "n=4:c0=black:c1=orange:c2=skyblue:c3=white:x0=0:y0=0:x1=95:y1=95"
    source = f"gradients=s={SIDE}x{SIDE}:r=25:{colours}:d={FRAMES / 25}"
    marks = ("-color_trc", transfer, "-color_primaries", "bt2020", "-colorspace", "bt2020nc")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-vf", make, "-c:v", "ffv1"]
    stated = "pc" if light == "full" else "tv"
    subprocess.run([*command, *marks, "-color_range", stated, path], check=True)
    clip = read_clip(path, ClipSpec(FRAMES, SIDE, fit=fit))  # type: ignore[arg-type]
    assert clip.colours == "hdr"
    assert psnr(clip.frames, by_ffmpeg(path, MAPPED)) > 40
    plain = psnr(by_ffmpeg(path, "format=rgb24"), by_ffmpeg(path, MAPPED))
    assert plain < 25  # without mapping, it is another picture


def encoded(path: Path, matrix: int, primaries: int = 2, size: int = 64) -> Path:
    """Grey to the left and red to the right, by the matrix of BT.2020, marked with another one."""
    image = np.full((size, size, 3), 128, np.uint8)
    image[:, size // 2 :] = (200, 30, 30)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_primaries = primaries
        source = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame = source.reformat(format="yuv444p", dst_colorspace=9, dst_color_range=1)
        frame.colorspace = matrix
        frame.color_primaries = primaries
        for _ in range(FRAMES):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("motion", [False, True])
@pytest.mark.parametrize(
    ("matrix", "primaries"), [(10, 2), (11, 9), (12, 9), (13, 9), (14, 9), (15, 9)]
)
def test_a_matrix_that_the_converter_lacks_is_taken_for_the_nearest(
    tmp_path: Path, matrix: int, primaries: int, motion: bool
) -> None:
    path = encoded(tmp_path / "a.mkv", matrix, primaries)
    clip = read_clip(path, ClipSpec(FRAMES, 64, motion=motion))
    assert clip.colours == "nearest"
    assert np.abs(clip.frames[0, 32, 8].astype(int) - 128).max() <= 2
    assert np.abs(clip.frames[0, 32, 56].astype(int) - (200, 30, 30)).max() <= 3


@pytest.mark.parametrize("matrix", [8, 16, 17])
def test_a_matrix_of_another_kind_is_read_with_a_remark(tmp_path: Path, matrix: int) -> None:
    clip = read_clip(encoded(tmp_path / "a.mkv", matrix), SPEC)
    assert clip.colours == "nearest"
    assert np.abs(clip.frames[0, 48, 8].astype(int) - 128).max() <= 2  # greys are grey


def test_reserved_matrices_and_ranges_count_as_not_stated() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p")
    for matrix in (3, 18, 23):
        frame.colorspace = matrix
        assert take_nearest(frame)
        assert frame.colorspace == 2
    frame.color_range = 3
    assert take_nearest(frame)
    assert not take_nearest(frame)


@pytest.mark.parametrize("matrix", [1, 2, 5, 6, 9])
def test_usual_colours_have_no_remark(tmp_path: Path, matrix: int) -> None:
    assert read_clip(encoded(tmp_path / "a.mkv", matrix), SPEC).colours is None


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("ffv1", "gray10le"),
        ("ffv1", "gray12le"),
        ("ffv1", "gray16le"),
        ("ffv1", "yuva420p"),
        ("rawvideo", "pal8"),
        ("rawvideo", "bayer_rggb8"),
        ("png", "rgba"),
        ("png", "gray16be"),
        ("png", "ya8"),
        ("qtrle", "argb"),
        ("tiff", "gray16le"),
        ("tiff", "pal8"),
    ],
)
def test_greys_of_more_bits_alpha_palettes_and_bayer_are_as_ffmpeg_shows_them(
    tmp_path: Path, codec: str, pixels: str
) -> None:
    path = tmp_path / ("a.mov" if codec in ("qtrle", "png", "tiff") else "a.mkv")
    source = f"testsrc=s={SIDE}x{SIDE}:r=25:d={FRAMES / 25}"
    made = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", codec]
    done = subprocess.run([*made, "-pix_fmt", pixels, str(path)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this ffmpeg cannot write it: {done.stderr[:200]}")
    assert psnr(read_clip(path, SPEC).frames, by_ffmpeg(path, "format=rgb24")) > 40


def test_greys_of_a_ser_file_are_stretched_by_the_depth_that_its_header_states(
    tmp_path: Path,
) -> None:
    shades = np.tile(np.linspace(0, 4095, SIDE).astype("<u2"), (SIDE, 1))
    head = struct.pack(
        "<14s7i120sqq", b"LUCAM-RECORDER", 0, 0, 0, SIDE, SIDE, 12, FRAMES, b"", 0, 0
    )
    (tmp_path / "a.ser").write_bytes(head + shades.tobytes() * FRAMES)
    row = read_clip(tmp_path / "a.ser", SPEC).frames[0, 0, :, 0]
    assert np.abs(row - np.linspace(0, 255, SIDE)).max() <= 2

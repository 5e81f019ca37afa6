"""Few frames of long videos: each frame shows its own number in black and white squares."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from learner.container_index import is_long, sought
from learner.cost import LONG
from learner.frames import NotSoughtError
from learner.safe_open import open_container, open_regular
from learner.spec import ClipSpec, ReadOptions
from learner.video import VideoError, read_clip, sample_indices

COUNT, PARTS, GROUP = 2000, 8, 50
GAP = COUNT / PARTS
SPEC = ClipSpec(frames=PARTS, size=48)
NEAR = ReadOptions()
EXACT = ReadOptions(exact=True)
H264 = {"codec": "libx264", "preset": "ultrafast"}
ENCODED: dict[str, dict[str, str]] = {
    "plain.mp4": H264,
    "b-frames.mp4": {**H264, "bf": "3"},
    "open-groups.mp4": {**H264, "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    "b-frames.mkv": {**H264, "bf": "3"},
    "hevc.mp4": {
        "codec": "libx265",
        "preset": "ultrafast",
        "x265-params": "open-gop=1:bframes=3:log-level=none",
    },
    "vp9.webm": {"codec": "libvpx-vp9", "deadline": "realtime", "cpu-used": "8", "b": "2M"},
    "mpeg4.avi": {"codec": "mpeg4", "qscale": "2", "b": "2M"},
}


def numbered(index: int) -> np.ndarray[Any, Any]:
    bits = np.array([index >> bit & 1 for bit in range(12)], np.uint8).reshape(3, 4)
    return np.repeat((bits * 255).repeat(16, 0).repeat(16, 1)[..., None], 3, 2)


def numbers(images: np.ndarray[Any, Any]) -> list[int]:
    """Of square pictures, each frame's own number."""
    height, width = images.shape[1] // 3, images.shape[2] // 4
    centres = images[:, height // 2 :: height, width // 2 :: width, 1].reshape(len(images), 12)
    return [int(sum(int(level > 127) << bit for bit, level in enumerate(row))) for row in centres]


def encode(path: Path, codec: str, count: int = COUNT, begin: int = 0, **options: str) -> Path:
    with av.open(
        str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}
    ) as container:
        stream = container.add_stream(codec, rate=25, options={"g": str(GROUP), **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(begin, begin + count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(index), "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def b_frames(folder: Path) -> Path:
    return encode(folder / "whole.mp4", **ENCODED["b-frames.mp4"])


def found(path: Path, exact: bool) -> list[int]:
    """The numbers of the frames that are sought in a file, which fails where they cannot be."""
    with opened(path) as (container, stream):
        assert is_long(container, stream)
        frames = [
            frame.to_ndarray(format="rgb24") for frame, _ in sought(container, stream, PARTS, exact)
        ]
    return numbers(np.stack(frames))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    with open_regular(path) as file, open_container(file) as container:
        yield container, container.streams.video[0]


@pytest.mark.parametrize("name", ENCODED)
def test_of_a_long_video_a_key_frame_of_each_part_is_read_or_exactly_the_middle_one(
    folder: Path, name: str
) -> None:
    path = encode(folder / name, **ENCODED[name])
    near, middles = found(path, exact=False), sample_indices(COUNT, PARTS)
    assert np.abs(np.subtract(near, middles)).max() <= GROUP
    assert near != middles
    assert numbers(read_clip(path, SPEC, NEAR).frames) == near
    assert found(path, exact=True) == middles
    clip = read_clip(path, SPEC, EXACT)
    assert numbers(clip.frames) == middles
    assert (clip.frames_read, clip.read_share) == (PARTS, 1)


def test_an_avi_with_frames_that_are_shown_later_than_stored_is_sought_and_exact_ones_are_right(
    folder: Path,
) -> None:
    """AVI states when frames are decoded, not shown: exact ones may be read in sequence."""
    path = encode(folder / "b-frames.avi", "mpeg4", bf="2", b="2M")
    assert (
        np.abs(np.subtract(found(path, exact=False), sample_indices(COUNT, PARTS))).max() <= GROUP
    )
    assert numbers(read_clip(path, SPEC, EXACT).frames) == sample_indices(COUNT, PARTS)


def ffmpeg(*arguments: str | Path) -> None:
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *arguments], check=True, timeout=120)


def test_what_an_edit_list_hides_is_not_counted(folder: Path, b_frames: Path) -> None:
    path = folder / "edited.mp4"
    ffmpeg("-ss", "10.2", "-i", b_frames, "-c", "copy", path)
    middles = [255 + index for index in sample_indices(COUNT - 255, PARTS)]
    assert numbers(read_clip(path, SPEC, EXACT).frames) == middles
    near = found(path, exact=False)
    assert np.abs(np.subtract(near, middles)).max() <= GROUP / 2
    assert all(number % GROUP == 0 for number in near)  # key frames: each costs one decoding


def test_a_clip_cut_out_between_far_key_frames_gives_a_frame_of_each_of_its_parts(
    folder: Path,
) -> None:
    """Most of what an edit list hides is in front: a third as long as what is shown."""
    whole = encode(folder / "far.mp4", **H264 | {"g": "900"}, count=3500)
    path = folder / "cut-out.mp4"
    ffmpeg("-ss", "32", "-i", whole, "-c", "copy", path)
    near = found(path, exact=False)
    assert np.abs(np.subtract(near, [800 + at for at in sample_indices(2700, PARTS)])).max() <= 169


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_frames_at_uneven_times_are_found_by_their_number_where_the_index_has_it(
    folder: Path, name: str
) -> None:
    """The last quarter of the frames takes three quarters of the time."""
    path = folder / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"g": str(GROUP), "preset": "ultrafast", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(numbered(index), "rgb24")
            frame.pts, frame.time_base = 40 * (index + 9 * max(0, index - 1500)), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert found(path, exact=True) == sample_indices(COUNT, PARTS)
    near = found(path, exact=False)
    if name.endswith("mp4"):
        assert np.abs(np.subtract(near, sample_indices(COUNT, PARTS))).max() <= GROUP
    else:
        middles = [6500 * (part + 0.5) / PARTS for part in range(PARTS)]  # in frames of 40 ms
        shown = [index + 9 * max(0, index - 1500) for index in near]
        assert np.abs(np.subtract(shown, middles)).max() <= 6500 / PARTS / 2


def test_of_a_short_video_all_is_read(folder: Path) -> None:
    path = encode(folder / "short.mp4", count=LONG, **H264)
    assert numbers(read_clip(path, SPEC, NEAR).frames) == sample_indices(LONG, PARTS)


def test_between_two_key_frames_reading_goes_on(folder: Path) -> None:
    """Only at the beginning and in the last quarter are there any."""
    path = encode(folder / "rare.mp4", **{**H264, "g": "1700", "bf": "2"})
    near = found(path, exact=False)
    middles = sample_indices(COUNT, PARTS)
    assert near == [0, *middles[1:6], 1700, middles[7]]
    assert found(path, exact=True) == middles


def test_a_key_frame_that_is_damaged_sends_the_reader_through_all(
    folder: Path, b_frames: Path
) -> None:
    """The frames from it to the next key frame are missing; the others are sampled."""
    with av.open(str(b_frames)) as container:
        key = next(
            p for p in container.demux(video=0) if p.is_keyframe and p.pts * p.time_base >= 34
        )
        at, size = key.pos, key.size
    data = bytearray(b_frames.read_bytes())
    data[at : at + size] = bytes(size)
    (folder / "damaged.mp4").write_bytes(data)
    with pytest.raises(NotSoughtError):
        found(folder / "damaged.mp4", exact=True)
    indices = sample_indices(COUNT - GROUP, PARTS)
    expected = [index if index < 850 else index + GROUP for index in indices]
    assert (
        np.abs(
            np.subtract(numbers(read_clip(folder / "damaged.mp4", SPEC, EXACT).frames), expected)
        ).max()
        <= 3
    )


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi"])
def test_a_long_video_that_is_cut_short_is_an_error(folder: Path, name: str) -> None:
    data = encode(folder / f"whole-{name}", "mpeg4", b="2M").read_bytes()
    (folder / name).write_bytes(data[: len(data) * 7 // 10])
    with pytest.raises(VideoError, match="cut short"):
        read_clip(folder / name, SPEC, NEAR)
    assert read_clip(
        folder / name, SPEC, ReadOptions(min_read_share=0.5)
    ).read_share == pytest.approx(0.7, abs=0.1)


def test_a_recording_that_is_shorter_than_its_header_states_is_an_error(folder: Path) -> None:
    """It was stopped hard: the header has the planned running time, and its size is unknown."""
    path = encode(folder / "planned.mkv", **H264)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    stated = struct.unpack(">d", data[at : at + 8])[0]
    data[at : at + 8] = struct.pack(">d", 2 * stated)
    size_at = data.index(b"\x18\x53\x80\x67") + 4
    data[size_at : size_at + 8] = b"\x01" + b"\xff" * 7
    (folder / "stopped.mkv").write_bytes(data)
    with pytest.raises(VideoError, match="cut short: it should run for 160"):
        read_clip(folder / "stopped.mkv", SPEC, NEAR)


@pytest.mark.slow
def test_frames_that_are_stored_and_not_shown_are_not_counted(folder: Path) -> None:
    """VP8 has some to which others refer."""
    path = encode(
        folder / "hidden.webm",
        "libvpx",
        **{"auto-alt-ref": "1", "lag-in-frames": "16", "b": "1M", "cpu-used": "8"},
    )
    assert numbers(read_clip(path, SPEC, EXACT).frames) == sample_indices(COUNT, PARTS)
    assert (
        np.abs(
            np.subtract(numbers(read_clip(path, SPEC, NEAR).frames), sample_indices(COUNT, PARTS))
        ).max()
        <= GAP
    )


def test_a_short_recording_that_begins_after_an_hour_is_no_long_one(folder: Path) -> None:
    path = encode(folder / "short.mkv", count=100, **H264)
    late = folder / "late.mkv"
    with av.open(str(path)) as source, av.open(str(late), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.dts = packet.pts + 3_600_000, packet.dts + 3_600_000
                packet.stream = stream
                container.mux(packet)
    assert numbers(read_clip(late, SPEC, NEAR).frames) == sample_indices(100, PARTS)

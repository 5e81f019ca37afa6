"""Few frames of long videos: each frame tells its own number, in a grid of black and white squares."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from learner.frames import LONG, NotSoughtError, is_long, sought
from learner.opening import open_container, open_regular
from learner.spec import ClipSpec
from learner.video import VideoError, read_clip, sample_indices

COUNT, PARTS, GROUP = 2000, 8, 50
GAP = COUNT / PARTS
NEAR, EXACT = (ClipSpec(frames=PARTS, size=48, exact=exact) for exact in (False, True))
H264 = {"codec": "libx264", "preset": "ultrafast"}
ENCODED: dict[str, dict[str, str]] = {
    "plain.mp4": H264,
    "b-frames.mp4": {**H264, "bf": "3"},
    "open-groups.mp4": {**H264, "x264-params": "open-gop=1:bframes=3:b-adapt=0:scenecut=0"},
    "b-frames.mkv": {**H264, "bf": "3"},
    "hevc.mp4": {"codec": "libx265", "preset": "ultrafast", "x265-params": "open-gop=1:bframes=3:log-level=none"},
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


def encode(path: Path, codec: str, count: int = COUNT, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"g": str(GROUP), **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(count):
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
        frames = [frame.to_ndarray(format="rgb24") for frame in sought(container, stream, PARTS, exact)]
    return numbers(np.stack(frames))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    with open_regular(path) as file, open_container(file) as container:
        yield container, container.streams.video[0]


@pytest.mark.parametrize("name", ENCODED)
def test_of_a_long_video_a_key_frame_of_each_part_is_read_and_the_middle_one_where_it_is_to_be_exact(
    folder: Path, name: str
) -> None:
    path = encode(folder / name, **ENCODED[name])
    near, middles = found(path, exact=False), sample_indices(COUNT, PARTS)
    assert np.abs(np.subtract(near, middles)).max() <= GROUP
    assert near != middles
    assert numbers(read_clip(path, NEAR).frames) == near
    if not path.suffix == ".avi":
        assert found(path, exact=True) == middles
    clip = read_clip(path, EXACT)
    assert numbers(clip.frames) == middles
    assert (clip.frames_read, clip.read_share) == (PARTS, 1)

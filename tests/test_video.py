import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import VidwatchError
from learner.video import ClipSpec, VideoError, read_clip, sample_indices

SPEC = ClipSpec(frames=8, size=32)


@given(count=st.integers(1, 10_000), frames=st.integers(1, 64))
def test_samples_lie_in_the_clip_in_order_and_spread_evenly(count: int, frames: int) -> None:
    indices = sample_indices(count, frames)
    assert len(indices) == frames
    assert sorted(indices) == indices
    assert all(0 <= index < count for index in indices)
    assert all(abs(index - (part + 0.5) * count / frames) <= 1 for part, index in enumerate(indices))


def test_the_sampled_frames_are_the_ones_asked_for_and_rgb(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi", frames=24), SPEC)
    assert clip.frames.shape == (8, 32, 32, 3)
    assert clip.frames.dtype == np.uint8
    red = clip.frames[:, 16, 16, 0].astype(int)
    assert np.abs(red - [8 * index for index in sample_indices(24, 8)]).max() <= 4
    assert clip.frames[..., 1:].max() <= 8
    assert (clip.frames_asked, clip.frames_read, clip.decoder) == (8, 8, "opencv")


def test_np_asarray_gives_the_frames(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi"), SPEC)
    assert np.array_equal(clip.frames, np.asarray(clip))


@pytest.mark.parametrize("count", [1, 3])
def test_a_clip_shorter_than_asked_repeats_frames_and_says_how_many_it_read(tmp_path: Path, count: int) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi", frames=count), SPEC)
    assert len(clip.frames) == 8
    assert clip.frames_read == count


def test_the_centre_is_cropped_when_asked_for(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi"), ClipSpec(frames=2, size=48, fit="crop"))
    assert clip.frames.shape == (2, 48, 48, 3)


@pytest.mark.parametrize("name", [b"with space.mp4", b"new\nline", b"\xff\xfe\x80.mp4", b"%03d.jpg", b"x" * 255])
def test_any_name_works(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    write_video(tmp_path / "a.mp4").rename(os.fsdecode(path))
    assert read_clip(path, SPEC).frames_read == 8


def bad_files(folder: Path) -> dict[str, bytes]:
    video = write_video(folder / "whole.avi", frames=60).read_bytes()
    picture = b"\x89PNG\r\n\x1a\n"
    return {
        "empty": b"",
        "text": b"This is no video at all.\n" * 100,
        "noise": np.random.default_rng(0).bytes(100_000),
        "truncated avi": video[: len(video) // 2],
        "png": picture + np.random.default_rng(0).bytes(1000),
        "concat script": b"ffconcat version 1.0\nfile whole.avi\n",
        "hls": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nwhole.avi\n#EXT-X-ENDLIST\n",
    }


@pytest.mark.parametrize("kind", ["empty", "text", "noise", "truncated avi", "png", "concat script", "hls"])
def test_what_is_no_whole_video_is_refused_with_a_reason(tmp_path: Path, kind: str) -> None:
    (tmp_path / "b.mp4").write_bytes(bad_files(tmp_path)[kind])
    with pytest.raises(VideoError, match=r"\w+"):
        read_clip(tmp_path / "b.mp4", SPEC)


def test_a_truncated_mp4_is_refused(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "a.mp4", frames=60).read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError):
        read_clip(tmp_path / "b.mp4", SPEC)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="not a regular file"):
        read_clip(tmp_path / "pipe", SPEC)


def test_a_missing_file_is_an_oserror(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_clip(tmp_path / "none.mp4", SPEC)


@pytest.mark.parametrize("bad", [{"frames": 0}, {"size": 2.5}, {"fit": "x"}])
def test_a_wrong_spec_names_the_field_and_its_rule(bad: dict[str, object]) -> None:
    with pytest.raises(VidwatchError, match=r"it must be"):
        ClipSpec(**({"frames": 4, "size": 8} | bad))  # type: ignore[arg-type]


def test_decoders_load_neither_torch_nor_timm() -> None:
    code = "import sys, learner.video; print([m for m in ('torch', 'timm', 'sqlalchemy') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


def test_every_real_clip_is_read_in_full(real_clips: Path) -> None:
    for path in sorted((real_clips / "ucf10-original").glob("*/*.avi"))[:10]:
        assert read_clip(path, SPEC).frames_read == 8

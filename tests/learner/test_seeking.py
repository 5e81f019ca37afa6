"""Few frames of long videos without an index: each frame shows its own number."""

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from test_frames import COUNT, EXACT, GAP, GROUP, H264, NEAR, PARTS, SPEC, encode, numbers

from learner import packet_index
from learner.frames import NotSoughtError, whole_frames
from learner.read_share import bytes_there
from learner.safe_open import open_container, open_regular
from learner.seeking import Wanted, pairs, seeks
from learner.spec import ReadOptions
from learner.video import read_clip, sample_indices

B_FRAMES = {**H264, "bf": "2"}
MPEG2 = {"codec": "mpeg2video", "bf": "2", "b": "2M"}
ENCODED = {
    "a.ts": B_FRAMES,
    "a.m2ts": B_FRAMES,
    "hevc.ts": {"codec": "libx265", "preset": "ultrafast", "x265-params": "log-level=none"},
    "mpeg2.ts": MPEG2,
    "a.mpg": MPEG2,
    "a.vob": MPEG2,
    "a.h264": B_FRAMES,
    "a.m2v": MPEG2,
    "a.flv": B_FRAMES,
    "a.wmv": {"codec": "wmv2", "b": "2M"},
    "a.nut": B_FRAMES,
    "a.mxf": {**MPEG2, "bf": "0"},
}
# They do not say when each frame is shown: several lie in one packet of a program stream.
WITHOUT_TIMES = ["a.h264", "a.mpg"]
MIDDLES = sample_indices(COUNT, PARTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def stream_of_h264(folder: Path) -> Path:
    return encode(folder / "whole.ts", **B_FRAMES)


def found(path: Path, *, exact: bool) -> list[int]:
    """The numbers of the frames that are sought in a file, which fails if they cannot be."""
    with open_regular(path) as file, open_container(file) as container:
        stream = container.streams.best("video")
        there = bytes_there(file)
        assert seeks(container, stream, there)
        wanted = Wanted(PARTS, exact, with_next=False)
        images = [
            frame.to_ndarray(format="rgb24") for frame, _ in pairs(container, stream, wanted, there)
        ]
    return numbers(np.stack(images))


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-nostdin", *arguments], check=True, timeout=120)


@pytest.mark.parametrize("name", ENCODED)
def test_a_key_frame_of_each_part_is_read_or_exactly_the_middle_one(
    folder: Path, name: str
) -> None:
    path = encode(folder / name, **ENCODED[name])
    near = found(path, exact=False)
    assert np.abs(np.subtract(near, MIDDLES)).max() <= GAP / 2
    assert near != MIDDLES
    clip = read_clip(path, SPEC, NEAR)
    assert numbers(clip.frames) == near
    assert (clip.frames_read, clip.read_share) == (PARTS, 1)
    assert numbers(read_clip(path, SPEC, EXACT).frames) == MIDDLES
    if name in WITHOUT_TIMES:
        with pytest.raises(NotSoughtError):
            found(path, exact=True)
    else:
        assert found(path, exact=True) == MIDDLES


@pytest.mark.slow
def test_ogg_is_sought_in(folder: Path, stream_of_h264: Path) -> None:
    path = folder / "a.ogv"
    ffmpeg("-i", stream_of_h264, "-c:v", "libtheora", "-q:v", "10", "-g", str(GROUP), path)
    assert np.abs(np.subtract(found(path, exact=False), MIDDLES)).max() <= GAP / 2
    assert found(path, exact=True) == MIDDLES


@pytest.mark.parametrize("name", ["live.mkv", "fragments.mp4"])
def test_a_file_whose_index_a_recorder_did_not_write_is_sought_in(
    folder: Path, stream_of_h264: Path, name: str
) -> None:
    path = folder / name
    live = ["-live", "1"] if name.endswith("mkv") else ["-movflags", "frag_keyframe+empty_moov"]
    ffmpeg("-i", stream_of_h264, "-c", "copy", *live, path)
    assert np.abs(np.subtract(found(path, exact=False), MIDDLES)).max() <= GAP / 2
    assert numbers(read_clip(path, SPEC, EXACT).frames) == MIDDLES


def test_a_clock_that_wraps_gives_the_same_frames(folder: Path, stream_of_h264: Path) -> None:
    """A transport stream's does after 26.5 hours; here in the middle of the recording."""
    path = folder / "wraps.ts"
    at = str(2**33 / 90000 - COUNT / 25 / 2)
    ffmpeg("-i", stream_of_h264, "-c", "copy", "-output_ts_offset", at, path)
    assert found(path, exact=False) == found(stream_of_h264, exact=False)
    assert numbers(read_clip(path, SPEC, EXACT).frames) == MIDDLES


@pytest.mark.parametrize("kind", ["ts", "mpg"])
def test_recordings_that_are_joined_give_frames_of_each_part(folder: Path, kind: str) -> None:
    """The clock of the second begins anew, and ends earlier than that of the first."""
    codec = MPEG2 if kind == "mpg" else B_FRAMES
    first = encode(folder / f"first.{kind}", count=1400, **codec)
    second = encode(folder / f"second.{kind}", count=600, begin=1400, **codec)
    path = folder / f"joined.{kind}"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    near = numbers(read_clip(path, SPEC, NEAR).frames)
    assert np.abs(np.subtract(near, MIDDLES)).max() <= GAP / 2
    middle = numbers(read_clip(path, SPEC, EXACT).frames)
    assert np.abs(np.subtract(middle, MIDDLES)).max() <= 3


def test_a_stream_that_was_cut_within_a_packet_is_sought_in(
    folder: Path, stream_of_h264: Path
) -> None:
    path = folder / "cut.ts"
    path.write_bytes(stream_of_h264.read_bytes()[:-100])
    assert np.abs(np.subtract(found(path, exact=False), MIDDLES)).max() <= GAP / 2
    half = ReadOptions(min_read_share=0.5)
    assert 0.99 < read_clip(path, SPEC, half).read_share < 1


def test_a_key_frame_whose_packets_are_lost_sends_the_reader_through_all(
    folder: Path, stream_of_h264: Path
) -> None:
    """What was not recorded is never made up: the frames are whole ones of a sequential reading."""
    data = bytearray(stream_of_h264.read_bytes())
    with av.open(str(stream_of_h264)) as container:
        keys = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe]
    lost = keys[3] + 2 * 188
    path = folder / "lost.ts"
    path.write_bytes(data[:lost] + data[lost + 188 :])
    with open_regular(path) as file, open_container(file) as container:
        whole = [
            frame.to_ndarray(format="rgb24")
            for frame in whole_frames(container, container.streams.video[0])
        ]
    assert set(numbers(read_clip(path, SPEC, NEAR).frames)) <= set(numbers(np.stack(whole)))


def test_a_file_that_changes_under_the_reader_gives_no_other_frames(
    folder: Path, stream_of_h264: Path
) -> None:
    """A key frame is known by its bytes."""
    with open_regular(stream_of_h264) as file, open_container(file) as container:
        stream = container.streams.video[0]
        index = packet_index.packet_index(container, stream)
        wrong = [key._replace(checksum=key.checksum ^ 1) for key in index.keys]
        other = packet_index.PacketIndex(index.times, wrong)
        with pytest.raises(NotSoughtError):
            next(packet_index.frames_at(container, stream, other, [3 * GROUP]))


def test_from_a_key_frame_on_frames_come_as_in_sequence(stream_of_h264: Path) -> None:
    with open_regular(stream_of_h264) as file, open_container(file) as container:
        stream = container.streams.video[0]
        index = packet_index.packet_index(container, stream)
        assert [key.number for key in index.keys] == list(range(0, COUNT, GROUP))
        after = packet_index._Run(container, stream, index.keys[-2]).frames()
        images = [frame.to_ndarray(format="rgb24") for frame in after]
    assert numbers(np.stack(images)) == list(range(COUNT - 2 * GROUP, COUNT))

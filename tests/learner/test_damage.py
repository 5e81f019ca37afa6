"""Clips that begin between key frames, and clips that are damaged here and there."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from learner.safe_open import VideoError
from learner.spec import ClipSpec, ReadOptions
from learner.video import read_clip, sample_indices

FRAMES = 150
GROUP = 50  # frames from a key frame to the next
ALL = ClipSpec(frames=FRAMES, size=32)


def encode(path: Path, codec: str, group: int = GROUP) -> Path:
    """Each frame shows its number, as eight bits in two rows of blocks that are dark or bright."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, 25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec != "mjpeg":
            stream.gop_size = group
            # No other key frames than these, whatever the pictures show.
            stream.options = {"sc_threshold": "0" if codec == "libx264" else "1000000000"}
            stream.codec_context.max_b_frames = 0
        for n in range(FRAMES):
            bits = np.array([n >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4, 1)
            image = np.repeat((50 + 150 * bits).repeat(32, 0).repeat(16, 1), 3, 2)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(path: Path, out: Path, change: Callable[[int, bytes], bytes | None]) -> Path:
    """A copy with each packet changed by its number, or left out (None)."""
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            data = change(number, bytes(packet)) if packet.size else None
            if data is None:
                continue
            new = av.Packet(data)
            new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
            new.time_base, new.is_keyframe = packet.time_base, packet.is_keyframe
            new.stream = stream
            target.mux(new)
    return out


def numbers(path: Path, least: float = 0.5) -> tuple[float, list[int]]:
    """The share that was read, and the number of the frame that each picture shows."""
    clip = read_clip(path, ALL, ReadOptions(min_read_share=least))
    at = sample_indices(clip.frames_read, FRAMES)  # some repeat
    pictures = [clip.frames[at.index(n)] for n in range(clip.frames_read)]
    found = []
    for picture in pictures:
        bits = picture[8::16, 4::8].mean(2).ravel() > 125
        found.append(sum(1 << bit for bit in range(8) if bits[bit]))
    return clip.read_share, found


BEGUN_LATE = [
    ("mpeg4", "avi"),
    ("mpeg4", "mp4"),
    ("mpeg4", "mkv"),
    ("mpeg2video", "ts"),
    ("mpeg2video", "mkv"),
    ("flv1", "flv"),
    ("libx264", "mkv"),
    ("libx264", "mp4"),
]


@pytest.mark.parametrize(("codec", "ending"), BEGUN_LATE)
def test_what_leads_up_to_the_first_key_frame_is_no_damage(
    tmp_path: Path, codec: str, ending: str
) -> None:
    stored = encode(tmp_path / f"a.{ending}", codec)
    late = remux(stored, tmp_path / f"late.{ending}", lambda n, data: data if n >= 20 else None)
    share, found = numbers(late)
    assert share == 1
    assert found[0] == GROUP, "pictures before it are grey, or of a picture that is not there"
    assert len(set(found)) == FRAMES - GROUP


def test_a_recording_without_any_key_frame_is_read(tmp_path: Path) -> None:
    stored = encode(tmp_path / "a.avi", "mpeg4", group=300)
    late = remux(stored, tmp_path / "late.avi", lambda n, data: data if n else None)
    assert read_clip(late, ALL).frames_read == FRAMES - 1


def broken(data: bytes) -> bytes:
    return data[:12] + bytes(len(data) - 12)


def test_a_broken_packet_costs_the_frames_that_refer_to_it(tmp_path: Path) -> None:
    stored = encode(tmp_path / "a.mkv", "libx264")
    path = remux(stored, tmp_path / "b.mkv", lambda n, data: broken(data) if n == 60 else data)
    share, found = numbers(path)
    assert found == [*range(60), *range(100, 150)]
    assert share == pytest.approx(110 / 150, abs=0.01)


def test_of_pictures_that_stand_alone_only_the_broken_ones_are_lost(tmp_path: Path) -> None:
    stored = encode(tmp_path / "a.avi", "mjpeg")
    path = remux(stored, tmp_path / "b.avi", lambda n, data: data[:4] if n % 6 == 1 else data)
    share, found = numbers(path)
    assert found == [n for n in range(FRAMES) if n % 6 != 1]
    assert share == pytest.approx(5 / 6, abs=0.01)


def test_less_than_the_least_share_is_refused_as_damaged(tmp_path: Path) -> None:
    stored = encode(tmp_path / "a.mkv", "libx264")
    path = remux(stored, tmp_path / "b.mkv", lambda n, data: broken(data) if n % 60 == 10 else data)
    with pytest.raises(VideoError, match=r"damaged: it has 150 frames, but only .* is the least"):
        numbers(path, least=0.9)
    assert numbers(path, least=0.1)[0] < 0.9

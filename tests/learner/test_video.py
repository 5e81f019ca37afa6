import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st

from learner.errors import VidwatchError
from learner.spec import ClipSpec, ReadOptions
from learner.video import VideoError, read_clip, sample_indices

SPEC = ClipSpec(frames=8, size=32)


@given(count=st.integers(1, 10_000), frames=st.integers(1, 64))
def test_samples_lie_in_the_clip_in_order_and_spread_evenly(count: int, frames: int) -> None:
    indices = sample_indices(count, frames)
    assert len(indices) == frames
    assert sorted(indices) == indices
    assert all(0 <= index < count for index in indices)
    assert all(
        abs(index - (part + 0.5) * count / frames) <= 1 for part, index in enumerate(indices)
    )


def test_the_sampled_frames_are_the_ones_asked_for_and_rgb(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi", frames=24), SPEC)
    assert clip.frames.shape == (8, 32, 32, 3)
    assert clip.frames.dtype == np.uint8
    red = clip.frames[:, 16, 16, 0].astype(int)
    assert np.abs(red - [8 * index for index in sample_indices(24, 8)]).max() <= 4
    assert clip.frames[..., 1:].max() <= 8
    assert (clip.frames_asked, clip.frames_read, clip.decoder) == (8, 8, "pyav")


def test_np_asarray_gives_the_frames(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi"), SPEC)
    assert np.array_equal(clip.frames, np.asarray(clip))


@pytest.mark.parametrize("count", [1, 3])
def test_a_clip_shorter_than_asked_repeats_frames_and_says_how_many_it_read(
    tmp_path: Path, count: int
) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi", frames=count), SPEC)
    assert len(clip.frames) == 8
    assert clip.frames_read == count


def test_the_centre_is_cropped_when_asked_for(tmp_path: Path) -> None:
    clip = read_clip(write_video(tmp_path / "a.avi"), ClipSpec(frames=2, size=48, fit="crop"))
    assert clip.frames.shape == (2, 48, 48, 3)


@pytest.mark.parametrize(
    "name", [b"with space.mp4", b"new\nline", b"\xff\xfe\x80.mp4", b"%03d.jpg", b"x" * 255]
)
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


@pytest.mark.parametrize(
    "kind", ["empty", "text", "noise", "truncated avi", "png", "concat script", "hls"]
)
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
    code = (
        "import sys, learner.video;"
        "print([m for m in ('torch', 'timm', 'sqlalchemy') if m in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"


def test_every_real_clip_is_read_in_full(real_clips: Path) -> None:
    for path in sorted((real_clips / "ucf10-original").glob("*/*.avi")):
        assert read_clip(path, SPEC).frames_read == 8


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_pictures_are_as_near_as_can_be_to_whole_ones_made_smaller_in_rgb(
    real_clips: Path, fit: Literal["squash", "crop"]
) -> None:
    """The starter learned from those. Squashing is done in the video's own colours, for speed."""
    apart = []
    for path in sorted((real_clips / "ucf10").glob("*/*.mp4"))[::25]:
        with av.open(str(path)) as container:
            images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        left, right = (40, 280) if fit == "crop" else (0, 320)
        chosen = [images[i][:, left:right] for i in sample_indices(len(images), 16)]
        expected = np.stack(
            [cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA) for image in chosen]
        )
        found = read_clip(path, ClipSpec(frames=16, size=224, fit=fit)).frames
        apart.append(np.abs(expected.astype(int) - found).mean())
    assert len(apart) >= 10
    assert max(apart) < 2.5
    assert np.mean(apart) < 1


def encode(
    path: Path,
    codec: str,
    frames: int = 60,
    format: str | None = None,  # noqa: A002
    **options: str,
) -> Path:
    """A noisy video with a white top left quarter, so that a turned picture is noticed."""
    noise = np.random.default_rng(0)
    with av.open(str(path), "w", format=format, options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(frames):
            image = noise.integers(0, 100, (48, 64, 3), np.uint8)
            image[:24, :32] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return path


def encode_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        for _ in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("share", [0.5, 0.8, 0.98])
@pytest.mark.parametrize("kind", ["avi", "mp4", "mkv", "ts"])
def test_a_file_cut_short_is_refused_however_little_is_missing(
    tmp_path: Path, kind: str, share: float
) -> None:
    """FFmpeg plays an AVI cut at 80 %, and an MP4 with its index first, up to the cut, silently."""
    codec, options = ("mpeg4", {"movflags": "faststart"} if kind == "mp4" else {})
    whole = encode(tmp_path / f"whole.{kind}", codec, **options)
    assert read_clip(whole, SPEC).frames_read == 8
    # Not at the end of a packet: a transport stream cut between packets looks like a shorter one.
    (tmp_path / "cut").write_bytes(
        whole.read_bytes()[: int(whole.stat().st_size * share) // 188 * 188 - 1]
    )
    with pytest.raises(VideoError, match="cut short"):
        read_clip(tmp_path / "cut", SPEC)


def test_a_file_cut_short_between_two_packets_is_refused_where_its_header_states_a_running_time(
    tmp_path: Path,
) -> None:
    data = encode(tmp_path / "a.flv", "flv").read_bytes()
    end = 13  # the header; then tags of 11 bytes, their data, and 4 bytes
    while end < len(data) // 2:
        end += 11 + int.from_bytes(data[end + 1 : end + 4], "big") + 4
    (tmp_path / "b.flv").write_bytes(data[:end])
    assert read_clip(tmp_path / "a.flv", SPEC).frames_read == 8
    with pytest.raises(VideoError, match="cut short"):
        read_clip(tmp_path / "b.flv", SPEC)


@pytest.mark.parametrize(("start", "end"), [(0.3, 0.7), (0.6, 1.0)], ids=["middle", "end"])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_that_are_there_but_cannot_be_decoded_are_not_passed_over(
    tmp_path: Path, codec: str, start: float, end: float
) -> None:
    """A broken download into a file of full size: frames in the index are still zero bytes."""
    data = bytearray(encode(tmp_path / "a.mp4", codec, movflags="faststart").read_bytes())
    first, last = int(len(data) * start), int(len(data) * end)
    data[first:last] = bytes(last - first)
    (tmp_path / "b.mp4").write_bytes(data)
    with pytest.raises(VideoError, match=r"damaged|cut short"):
        read_clip(tmp_path / "b.mp4", SPEC)


def test_a_header_that_claims_a_few_frames_too_many_is_not_believed(tmp_path: Path) -> None:
    """As 12 of the course report's 500 clips: they are whole, and their last frame is sampled."""
    data = bytearray(write_video(tmp_path / "a.avi", frames=60).read_bytes())
    for header, offset in ((b"avih", 24), (b"strh", 40)):
        at = data.index(header) + offset
        assert int.from_bytes(data[at : at + 4], "little") == 60
        data[at : at + 4] = (62).to_bytes(4, "little")
    (tmp_path / "b.avi").write_bytes(data)
    spec = ClipSpec(frames=60, size=16)
    assert np.array_equal(
        read_clip(tmp_path / "b.avi", spec).frames, read_clip(tmp_path / "a.avi", spec).frames
    )


@pytest.mark.parametrize("kind", ["avi", "mp4", "mkv"])
def test_rubbish_behind_a_whole_video_does_no_harm(tmp_path: Path, kind: str) -> None:
    path = write_video(tmp_path / f"a.{kind}")
    path.write_bytes(path.read_bytes() + b"rubbish" * 10)
    assert read_clip(path, SPEC).frames_read == 8


@pytest.mark.parametrize("end", [".mp4", ".mkv"])
def test_sound_alone_is_no_video(tmp_path: Path, end: str) -> None:
    with pytest.raises(VideoError, match="sound only"):
        read_clip(encode_sound(tmp_path / f"a{end}"), SPEC)


@pytest.mark.parametrize("kind", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".avif"])
def test_a_picture_is_no_video(tmp_path: Path, kind: str) -> None:
    """AVIF, as HEIC, is an MP4 of one frame but for its brand."""
    encoded = cv2.imencode(kind, np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))[
        1
    ]
    (tmp_path / "a.mp4").write_bytes(encoded.tobytes())
    with pytest.raises(VideoError, match="a picture"):
        read_clip(tmp_path / "a.mp4", SPEC)


def test_av1_is_decoded(tmp_path: Path) -> None:
    clip = read_clip(encode(tmp_path / "a.mp4", "libsvtav1", frames=12), SPEC)
    assert (clip.decoder, clip.frames_read) == ("pyav", 8)
    assert clip.frames[:, 2:12, 2:12].mean() > 200
    assert clip.frames[:, 20:].mean() < 100


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_phones_video_is_turned_upright(tmp_path: Path, turn: int) -> None:
    data = encode(tmp_path / "a.mp4", "mpeg4", frames=12).read_bytes()
    upright = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    turned = (cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    old, new = (
        b"".join(value.to_bytes(4, "big", signed=True) for value in m) for m in (upright, turned)
    )
    at = data.index(old, data.index(b"tkhd"))
    (tmp_path / "b.mp4").write_bytes(data[:at] + new + data[at + len(old) :])
    as_stored, upright_now = (
        read_clip(tmp_path / name, SPEC).frames for name in ("a.mp4", "b.mp4")
    )
    turned_by_hand = np.rot90(as_stored, k=-turn // 90, axes=(1, 2))
    assert not np.array_equal(as_stored, upright_now)
    assert np.abs(turned_by_hand.astype(int) - upright_now).mean() < 3


@pytest.mark.parametrize(
    ("codec", "end"), [("mpeg2video", ".ts"), ("mpeg4", ".avi"), ("mpeg2video", ".mkv")]
)
def test_interlaced_video_gives_its_own_frames(tmp_path: Path, codec: str, end: str) -> None:
    """OpenCV 5 gives stale pictures for it, and says that it read them."""
    with av.open(str(tmp_path / f"a{end}"), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"flags": "+ildct+ilme"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(24):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), (8 * index, 0, 0), np.uint8), "rgb24"
            )
            frame = frame.reformat(format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = read_clip(tmp_path / f"a{end}", SPEC)
    red = clip.frames[:, 16, 16, 0].astype(int)
    assert clip.frames_read == 8
    assert np.abs(red - [8 * index for index in sample_indices(24, 8)]).max() <= 12


def test_a_recording_cut_into_segments_is_whole_in_each(tmp_path: Path) -> None:
    """Matroska states when a segment ends, counted from the beginning of the recording."""
    with av.open(str(encode(tmp_path / "a.mkv", "mpeg4", frames=48))) as whole:
        source = whole.streams.video[0]
        with av.open(str(tmp_path / "b.mkv"), "w") as container:
            stream = container.add_stream_from_template(source)
            for packet in whole.demux(source):
                if packet.pts is not None and packet.pts * packet.time_base >= 0.96:
                    packet.stream = stream
                    container.mux(packet)
    assert read_clip(tmp_path / "b.mkv", SPEC).frames_read == 8


def test_a_script_that_names_a_real_video_is_not_followed(tmp_path: Path) -> None:
    """The frames would be another file's."""
    encode(tmp_path / "a.ts", "mpeg4")
    for script in (
        "ffconcat version 1.0\nfile a.ts\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\na.ts\n",
    ):
        (tmp_path / "b.mp4").write_text(script)
        with pytest.raises(VideoError, match="not a video"):
            read_clip(tmp_path / "b.mp4", SPEC)


def test_decoders_write_nothing_to_the_terminal(tmp_path: Path) -> None:
    """What is wrong with a file is in the error: FFmpeg's own lines would tear up the live line."""
    for name, data in bad_files(tmp_path).items():
        (tmp_path / name).write_bytes(data)
    code = (
        "import sys, learner.video as v\n"
        "for name in sys.argv[1:]:\n"
        "    try: v.read_clip(name, v.ClipSpec(4, 32))\n"
        "    except v.VideoError: pass\n"
    )
    names = [str(path) for path in tmp_path.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""


def test_the_contents_hash_is_the_files(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi")
    assert read_clip(path, SPEC).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_picture_that_is_stored_as_the_one_before_is_no_damage(tmp_path: Path) -> None:
    """An empty packet says so, in AVI as in Theora; FFmpeg's decoders take it for a mistake."""
    path = write_video(tmp_path / "a.avi")
    whole = read_clip(path, SPEC).frames
    data = bytearray(path.read_bytes())
    at = data.index(b"00dc", data.index(b"movi"))
    # As long as before: the fourth picture's chunk becomes an empty one and rubbish.
    for _ in range(3):
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        at += at % 2
    entry = data.index(b"00dc", data.index(b"idx1")) + 3 * 16
    size = int.from_bytes(data[at + 4 : at + 8], "little")
    data[at + 4 : at + 8], data[at + 8 : at + 12] = bytes(4), b"JUNK"
    data[at + 12 : at + 16] = (size - 8).to_bytes(4, "little")
    data[entry + 12 : entry + 16] = bytes(4)
    path.write_bytes(data)
    clip = read_clip(path, SPEC)
    assert clip.frames_read == 8
    assert np.abs(clip.frames[-1].astype(int) - whole[-1]).max() <= 2


@pytest.mark.parametrize(("kind", "codec"), [("avi", "ffvhuff"), ("mkv", "ffv1")])
def test_of_a_file_cut_short_what_is_there_is_read_with_its_share(
    tmp_path: Path, kind: str, codec: str
) -> None:
    whole = encode(tmp_path / f"whole.{kind}", codec).read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) * 7 // 10])
    clip = read_clip(tmp_path / "cut", SPEC, ReadOptions(min_read_share=0.5))
    assert clip.read_share == pytest.approx(0.68, abs=0.05)
    assert clip.frames_read == 8
    # What is there, and not the frames that would have been sampled of the whole.
    all_frames = read_clip(tmp_path / f"whole.{kind}", ClipSpec(frames=60, size=32)).frames
    count = round(60 * clip.read_share)
    wanted = all_frames[sample_indices(count, 8)[0]]
    assert np.array_equal(clip.frames[0], wanted)
    with pytest.raises(
        VideoError, match=r"cut short: .*[67]\d% of it is there, and 90% is the least"
    ) as error:
        read_clip(tmp_path / "cut", SPEC, ReadOptions(min_read_share=0.9))
    assert error.value.cut_short


def test_an_mp4_without_its_index_is_cut_short_and_nothing_of_it_can_be_read(
    tmp_path: Path,
) -> None:
    data = encode(tmp_path / "a.mp4", "mpeg4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(VideoError, match="cut short before its index") as error:
        read_clip(tmp_path / "b.mp4", SPEC, ReadOptions(min_read_share=0))
    assert error.value.cut_short


def test_pictures_too_large_are_refused_before_one_is_decoded(tmp_path: Path) -> None:
    data = bytearray(encode(tmp_path / "a.avi", "ffvhuff", frames=3).read_bytes())
    at = data.index(b"strf") + 12
    data[at : at + 8] = (16_000).to_bytes(4, "little") * 2
    (tmp_path / "b.avi").write_bytes(data)
    with pytest.raises(VideoError, match="too large: 16000x16000"):
        read_clip(tmp_path / "b.avi", SPEC)


@pytest.mark.parametrize("size", [2**45, 2**62, 2**64 - 1])
@pytest.mark.parametrize("kind", ["mkv", "wmv", "mp4"])
def test_a_container_that_points_beyond_any_file_is_failed_and_not_tried_again(
    tmp_path: Path, kind: str, size: int
) -> None:
    """An OSError would be taken for a trouble of the disk's."""
    heads = {
        "mkv": b"\x1a\x45\xdf\xa3\x01" + (size >> 8).to_bytes(7, "big"),
        "wmv": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
        + bytes(14)
        + b"x" * 16
        + size.to_bytes(8, "little"),
        "mp4": b"\0\0\0\1ftyp" + size.to_bytes(8, "big"),
    }
    (tmp_path / "a").write_bytes(heads[kind] + bytes(500))
    with pytest.raises(VideoError):
        read_clip(tmp_path / "a", SPEC)

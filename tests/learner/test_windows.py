"""Long videos in windows: against the `ffmpeg` command, and against one reading from the start."""

import gc
import json
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from learner import window_plan
from learner.cutting import Window
from learner.errors import VidwatchError
from learner.measured import NotCutError
from learner.safe_open import open_regular
from learner.spec import ClipSpec, ReadOptions
from learner.video import read_clip
from learner.window_plan import WindowPlan
from learner.windows import long_video, read_piece, read_windows

SPEC = ClipSpec(frames=4, size=32)
PLAN = WindowPlan(2, 2)
LENIENT = ReadOptions(0.5)
# Each second of it has another brightness, and moves: a frame that is a little too early shows.
SOURCE = "testsrc2=size=96x72:rate=25,hue=H=t/3:b=sin(t)"
OPEN_GOPS = ("-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-bf", "3")
OPEN_GOPS += ("-x264-params", "open-gop=1:scenecut=0")
ENCODED = {
    "a.mp4": OPEN_GOPS,
    "a.mkv": OPEN_GOPS,
    "a.mov": ("-c:v", "mpeg4", "-q:v", "4", "-bf", "2", "-g", "40"),
    "a.avi": ("-c:v", "mjpeg", "-q:v", "4"),
    "a.ts": OPEN_GOPS,
    "a.webm": ("-c:v", "libvpx", "-b:v", "500k", "-g", "50", "-deadline", "realtime"),
    "a.flv": OPEN_GOPS,
    "late.mp4": (*OPEN_GOPS, "-output_ts_offset", "100"),
    "late.ts": (*OPEN_GOPS, "-output_ts_offset", "3600"),
    "intra.mp4": ("-c:v", "mjpeg", "-q:v", "4"),
}


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


def make(path: Path, *options: str, seconds: float = 23, source: str = SOURCE) -> Path:
    ffmpeg("-f", "lavfi", "-i", source, "-t", f"{seconds}", "-pix_fmt", "yuv420p", *options, path)
    return path


def in_sequence(
    path: Path, plan: WindowPlan = PLAN, spec: ClipSpec = SPEC, first: int = 0
) -> list[Window]:
    with open_regular(path) as file:
        return list(read_windows(file, spec, plan, first).windows)


def in_pieces(path: Path, plan: WindowPlan = PLAN, spec: ClipSpec = SPEC) -> list[Window]:
    found: list[Window] = []
    with open_regular(path) as file:
        while True:
            piece = read_piece(file, spec, plan, found[-1].number + 1 if found else 0, "")
            found += piece.windows
            if piece.is_last:
                return found


def require_equal(some: Sequence[Window], others: Sequence[Window]) -> None:
    assert [(one.number, one.start, one.end, one.frames_read) for one in some] == [
        (one.number, one.start, one.end, one.frames_read) for one in others
    ]
    for one, other in zip(some, others, strict=True):
        assert np.array_equal(one.frames, other.frames), one.number
        if one.motion is not None:
            assert other.motion is not None
            assert np.array_equal(one.motion, other.motion), one.number


def by_command(path: Path, spec: ClipSpec = SPEC) -> tuple[list[Fraction], np.ndarray]:  # type: ignore[type-arg]
    """When each frame is shown, and all frames, by the ffprobe and ffmpeg commands."""
    shown = json.loads(
        subprocess.check_output(
            ["ffprobe", "-v", "error", "-select_streams", "v:0", "-of", "json"]  # noqa: RUF005
            + ["-show_entries", "frame=best_effort_timestamp:stream=time_base", str(path)]
        )
    )
    base = Fraction(shown["streams"][0]["time_base"])
    times = [frame["best_effort_timestamp"] * base for frame in shown["frames"]]
    scale = f"scale={spec.size}:{spec.size}:flags=area"
    raw = subprocess.check_output(
        ["ffmpeg", "-v", "error", "-i", str(path)]  # noqa: RUF005
        + ["-fps_mode", "passthrough", "-vf", scale]
        + ["-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    )
    frames = np.frombuffer(raw, np.uint8).reshape(-1, spec.size, spec.size, 3)
    assert len(frames) == len(times)
    return [time - times[0] for time in times], frames


def require_shown_in_the_middle(path: Path, windows: Sequence[Window]) -> None:
    """Each frame of a window is the one that the command shows in the middle of its part."""
    times, frames = by_command(path)
    for window in windows:
        begin, end = Fraction(window.start), Fraction(window.end)
        for part, frame in enumerate(window.frames):
            middle = begin + (2 * part + 1) * (end - begin) / (2 * len(window.frames))
            inside = [at for at, time in enumerate(times) if begin <= time < end]
            before = [at for at in inside if times[at] <= middle] or inside[:1]
            # The command's scaler gives other edges, so the nearest of all frames has to be it.
            distances = np.abs(frames - frame.astype(np.int16)).mean((1, 2, 3))
            assert distances.argmin() == before[-1], (window.number, part)
            assert distances.min() < 16


FAST = ("a.mp4", "late.ts")
EACH = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ENCODED]


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_windows_have_the_frames_of_the_command_wherever_reading_begins(
    name: str, tmp_path: Path
) -> None:
    path = make(tmp_path / name, *ENCODED[name])
    windows = in_sequence(path)
    assert [window.number for window in windows] == list(range(12))
    assert windows[-1].end == pytest.approx(23, abs=0.1)
    require_shown_in_the_middle(path, windows)
    require_equal(in_pieces(path), windows)
    for first in (1, 5, 11):
        require_equal(in_sequence(path, first=first), windows[first:])


@pytest.mark.slow
def test_no_frame_waits_for_pythons_search_for_cycles(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", *OPEN_GOPS, seconds=5)
    gc.collect()
    gc.disable()
    try:
        in_sequence(path)
        assert sum(type(left) is av.VideoFrame for left in gc.get_objects()) == 0
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_windows_of_a_piece_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_plan, "MOST_AT_ONCE", 8)
    path = make(tmp_path / "a.mp4", *OPEN_GOPS)
    with open_regular(path) as file:
        piece = read_piece(file, SPEC, PLAN, 2, "")
        assert [window.number for window in piece.windows] == list(range(2, 10))
        assert not piece.is_last
        assert read_piece(file, SPEC, PLAN, 4, "").is_last
        assert read_piece(file, SPEC, PLAN, 12, "") == read_piece(file, SPEC, PLAN, 99, "")
        assert read_piece(file, SPEC, PLAN, 12, "").is_last


@pytest.mark.slow
def test_overlapping_windows_are_those_of_each_by_itself(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", *OPEN_GOPS, seconds=9)
    plan = WindowPlan(2, 0.5)
    windows = in_sequence(path, plan)
    assert [window.start for window in windows[:3]] == [0, 0.5, 1]
    require_equal(in_pieces(path, plan), windows)
    apart = [window for window in windows if window.number % 4 == 0]
    for one, other in zip(apart, in_sequence(path), strict=False):
        if one.end == other.end:
            assert np.array_equal(one.frames, other.frames)


@pytest.mark.slow
def test_motion_is_that_of_a_clip_of_the_same_frames(tmp_path: Path) -> None:
    spec = ClipSpec(frames=4, size=32, motion=True)
    path = make(tmp_path / "a.mp4", *OPEN_GOPS, seconds=6)
    (whole,) = in_sequence(path, WindowPlan(6, 6), spec)
    clip = read_clip(path, spec)
    assert clip.motion is not None
    assert whole.motion is not None
    assert np.array_equal(whole.frames, clip.frames)
    assert np.array_equal(whole.motion, clip.motion)
    require_equal(in_pieces(path, PLAN, spec), in_sequence(path, PLAN, spec))


@pytest.mark.parametrize("seconds", [0.04, 1, 1.9, 2])
def test_a_short_video_is_one_window_with_the_frames_of_a_clip(
    seconds: float, tmp_path: Path
) -> None:
    path = make(tmp_path / "a.mp4", *OPEN_GOPS, seconds=seconds)
    (window,) = in_sequence(path)
    assert (window.start, window.end) == (0, pytest.approx(seconds, abs=0.03))
    assert np.array_equal(window.frames, read_clip(path, SPEC).frames)


def test_only_a_video_that_runs_for_longer_is_long(tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", *OPEN_GOPS, seconds=5)
    with open_regular(path) as file:
        found = long_video(file, SPEC, PLAN, 4.9, LENIENT, "aa")
        assert found
        assert (found.seconds, found.read_share) == (5, 1)
        assert long_video(file, SPEC, PLAN, 5, LENIENT, "aa") is None
        assert long_video(file, SPEC, WindowPlan(5, 5), 1, LENIENT, "aa") is None


@pytest.mark.parametrize(
    ("text", "length", "spans"),
    [
        ("10", 4, [(0, 4)]),
        ("10", 10, [(0, 10)]),
        ("10", 14.9, [(0, 14.9)]),
        ("10", 15, [(0, 10), (10, 15)]),
        ("10", 24, [(0, 10), (10, 24)]),
        ("10", 36, [(0, 10), (10, 20), (20, 30), (30, 36)]),
        ("10/5", 18, [(0, 10), (5, 15), (10, 18)]),
        ("10/5", 17, [(0, 10), (5, 17)]),
        ("0.5/0.1", 0.7, [(0, 0.5), (0.1, 0.6), (0.2, 0.7)]),
    ],
)
def test_windows_cover_all_of_a_video(
    text: str, length: float, spans: list[tuple[float, float]]
) -> None:
    plan = WindowPlan.parse(text)
    exact = Fraction(str(length))
    numbers = range(plan.count(exact))
    found = [(plan.begin(number), plan.end(number, exact)) for number in numbers]
    assert [(float(begin), float(end)) for begin, end in found] == spans


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "ten",
        "10/",
        "10/20",
        "10/0",
        "10/0.4",
        "600/1",
        "1e1",
        "nan",
        "4000",
        "10/5/2",
    ],
)
def test_what_gives_no_windows_is_an_error(text: str) -> None:
    with pytest.raises(VidwatchError, match="SECONDS/STEP"):
        WindowPlan.parse(text)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.52, 0.65, 0.98])
def test_a_video_with_its_index_at_the_front_that_is_cut_short_has_windows_up_to_there(
    tmp_path: Path, share: float
) -> None:
    # Its bytes say little of its time: the first minute is still, and takes few of them.
    moving = SOURCE.replace("25", "5")
    source = f"color=gray:size=96x72:rate=5:d=60[a];{moving}[b];[a][b]concat"
    options = (*OPEN_GOPS, "-movflags", "+faststart")
    whole = make(tmp_path / "a.mp4", *options, seconds=180, source=source)
    windows = in_sequence(whole)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: round(share * whole.stat().st_size)])
    with open_regular(cut) as file:
        found = long_video(file, SPEC, PLAN, 1, LENIENT)
    assert found
    assert 60 < found.seconds < 180
    assert 0.5 < found.read_share < 1
    there = in_sequence(cut)
    # The last one lacks what was cut off.
    require_equal(there[:-1], windows[: len(there) - 1])
    assert len(there) - 1 >= found.seconds // 2 - 1


@pytest.mark.slow
def test_a_variable_rate_shows_the_frame_that_is_there_at_the_time(tmp_path: Path) -> None:
    # Ten frames a second, then one, then all.
    chosen = "select='if(lt(t,8),not(mod(n,2)),if(lt(t,16),not(mod(n,25)),1))'"
    path = make(tmp_path / "a.mkv", *OPEN_GOPS, "-fps_mode", "vfr", source=f"{SOURCE},{chosen}")
    windows = in_sequence(path)
    assert [window.frames_read for window in windows[4:8]] == [2, 2, 2, 2]
    require_shown_in_the_middle(path, windows)
    require_equal(in_pieces(path), windows)


@pytest.mark.slow
def test_an_edit_list_cuts_what_it_hides(tmp_path: Path) -> None:
    make(tmp_path / "all.mp4", *OPEN_GOPS)
    path = tmp_path / "a.mp4"
    ffmpeg("-ss", "3.3", "-i", tmp_path / "all.mp4", "-c", "copy", path)
    windows = in_sequence(path)
    require_shown_in_the_middle(path, windows)
    require_equal(in_pieces(path), windows)


@pytest.mark.slow
def test_a_part_that_cannot_be_decoded_is_left_out_and_the_rest_is_there(tmp_path: Path) -> None:
    path = make(tmp_path / "a.ts", "-c:v", "libx264", "-g", "25", "-bf", "2")
    whole = in_sequence(path)
    data = bytearray(path.read_bytes())
    first, last = (int(len(data) * share) // 188 * 188 for share in (0.4, 0.7))
    data[first:last] = bytes(last - first)
    path.write_bytes(data)
    windows = in_sequence(path)
    assert 0 < len(windows) < len(whole)
    numbers = [window.number for window in windows]
    assert numbers[:3] == [0, 1, 2]
    assert numbers[-1] == whole[-1].number
    require_equal(in_pieces(path), windows)
    for window in windows[:3]:
        assert np.array_equal(window.frames, whole[window.number].frames)


@pytest.mark.slow
def test_a_recording_without_key_frames_is_read_as_a_clip(tmp_path: Path) -> None:
    """Each of its pictures renews a part, and what came before the first one is not there."""
    renewed = ("-c:v", "libx264", "-preset", "veryfast", "-x264-params", "intra-refresh=1")
    path = make(tmp_path / "a.ts", *renewed)
    data = path.read_bytes()
    path.write_bytes(data[len(data) // 188 // 5 * 188 :])
    with open_regular(path) as file, pytest.raises(NotCutError, match="key frame"):
        long_video(file, SPEC, PLAN, 5, LENIENT, "aa")
    with pytest.raises(NotCutError, match="key frame"):
        in_sequence(path)
    assert read_clip(path, SPEC).frames_read == SPEC.frames


@pytest.mark.slow
def test_an_mxf_whose_index_is_missing_is_not_cut(tmp_path: Path) -> None:
    """FFmpeg guesses places in it by the bit rate, and gives the frames there wrong times."""
    path = make(tmp_path / "a.mxf", "-c:v", "mpeg2video", "-g", "12", "-bf", "2", "-q:v", "4")
    require_equal(in_pieces(path), in_sequence(path))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    with open_regular(path) as file:
        with pytest.raises(NotCutError, match="index"):
            long_video(file, SPEC, PLAN, 5, LENIENT, "aa")
        with pytest.raises(NotCutError, match="index"):
            read_piece(file, SPEC, PLAN, 8, "aa")
    assert read_clip(path, SPEC, LENIENT).read_share == pytest.approx(0.7, abs=0.02)


@pytest.mark.slow
def test_a_video_without_times_or_key_frames_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.h264", *OPEN_GOPS)
    with open_regular(path) as file:
        with pytest.raises(NotCutError):
            long_video(file, SPEC, PLAN, 5, LENIENT, "aa")
        with pytest.raises(NotCutError):
            read_windows(file, SPEC, PLAN)
    far = make(tmp_path / "far.mp4", "-c:v", "libx264", "-g", "9999", "-sc_threshold", "0")
    monkeypatch.setattr("learner.windows.FARTHEST_KEY", 10)
    with open_regular(far) as file, pytest.raises(NotCutError, match="key frame"):
        long_video(file, SPEC, PLAN, 5, LENIENT, "aa")


WHOLE = {
    "fields.ts": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-bf", "2", "-g", "40"),
    "hidden.webm": ("-c:v", "libvpx", "-auto-alt-ref", "1", "-lag-in-frames", "16", "-b:v", "90k"),
    "reordered.avi": ("-c:v", "libx264", "-bf", "3"),
    "begun.ts": OPEN_GOPS,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("plan", [PLAN, WindowPlan(0.5, 0.5)], ids=["2 s", "0.5 s"])
def test_nothing_of_a_whole_video_counts_as_lost(
    tmp_path: Path, name: str, plan: WindowPlan
) -> None:
    path = make(tmp_path / name, *WHOLE[name], seconds=8)
    if name == "begun.ts":  # between two key frames
        data = path.read_bytes()
        path.write_bytes(data[188 * (len(data) // 188 // 5) :])
    with open_regular(path) as file:
        read = read_windows(file, SPEC, plan, least=0.5)
        assert {window.read_share for window in read.windows} == {1.0}
    assert not read.cut.is_rest_lost


@pytest.mark.parametrize(
    ("plan", "expected"),
    [("10", 6), ("4/2", 32), ("1", 32), ("20/10", 10), ("600", 1), ("600/60", 32)],
)
def test_a_piece_has_a_minute_of_windows_and_more_if_they_overlap(plan: str, expected: int) -> None:
    assert WindowPlan.parse(plan).at_once == expected

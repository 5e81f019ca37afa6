"""Parts of long videos as clips of their own: the frames of windows, and features for training."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from tiny import SPEC

from learner import dataset
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract, read_frames
from learner.files import sha256_of
from learner.safe_open import VideoError, open_regular
from learner.spec import ClipSpec
from learner.window_plan import WindowPlan, content_of, part_name
from learner.windows import read_part, read_windows

MOVING = ClipSpec(frames=4, size=32, motion=True)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """11.3 seconds, each second of another brightness, with key frames every 2.4 seconds."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    source = "testsrc2=size=96x72:rate=25,hue=H=t/3:b=sin(t)"
    options = ["-c:v", "libx264", "-g", "60", "-bf", "3", "-pix_fmt", "yuv420p", "-t", "11.3"]
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *options, path]
    subprocess.run(command, check=True)
    return path


def part(path: Path, start: float, end: float, spec: ClipSpec = MOVING) -> Any:
    with open_regular(path) as file:
        return read_part(file, spec, start, end)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [WindowPlan(3, 3), WindowPlan(2, 0.7), WindowPlan(0.9, 0.9)])
def test_a_part_has_the_frames_of_the_window_at_its_place(video: Path, plan: WindowPlan) -> None:
    with open_regular(video) as file:
        windows = list(read_windows(file, MOVING, plan).windows)
    assert len(windows) > 3
    for window in windows:
        found = part(video, window.start, window.end)
        assert np.array_equal(found.frames, window.frames), window.number
        assert np.array_equal(found.motion, window.motion), window.number
        assert found.frames_read == window.frames_read


@pytest.mark.slow
def test_frames_of_a_part_are_those_of_the_ffmpeg_command(video: Path) -> None:
    """Four parts of 1.2 s from 4.3 s on: the frames that are shown at 4.45, 4.75, 5.05, 5.35 s."""
    scale = "scale=32:32:flags=area"
    raw = subprocess.check_output(
        ["ffmpeg", "-v", "error", "-i", str(video), "-vf", f"fps=25,{scale}", "-f", "rawvideo"]  # noqa: RUF005
        + ["-pix_fmt", "rgb24", "-"]
    )
    frames = np.frombuffer(raw, np.uint8).reshape(-1, 32, 32, 3)
    wanted = [int(25 * time) for time in (4.45, 4.75, 5.05, 5.35)]
    found = part(video, 4.3, 5.5, ClipSpec(frames=4, size=32)).frames
    own = [
        int(np.abs(frames.astype(int) - image.astype(int)).mean((1, 2, 3)).argmin())
        for image in found
    ]
    assert own == wanted


def test_a_part_without_a_frame_is_an_error(video: Path) -> None:
    with pytest.raises(VideoError, match="has no whole frame from 20 to 30 s"):
        part(video, 20, 30)


@pytest.fixture
def classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Classifier]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tiny.untrained(tmp_path)


def clips(video: Path) -> list[LabelledClip]:
    sha256 = sha256_of(video)
    whole = LabelledClip(video, "bright", "g", sha256)
    parts = [
        LabelledClip(video, label, "g", part_name(sha256, *times), times)
        for label, times in (("dark", (2.0, 4.0)), ("bright", (4.0, 6.0)))
    ]
    return [whole, *parts]


def test_training_takes_a_part_as_a_clip_of_its_own(
    video: Path, classifier: Classifier, tmp_path: Path
) -> None:
    cache = Cache(10**9, tmp_path / "cache")
    found = extract(clips(video), classifier, cache)
    assert (found.clips, found.skipped) == (clips(video), {})
    alone = classifier.features([part(video, 2, 4, SPEC)])[0].numpy()
    assert np.array_equal(found.values[1], alone)
    assert not np.array_equal(found.values[1], found.values[0])
    video_moved = tmp_path / "gone.mp4"
    again = [LabelledClip(video_moved, c.label, c.group, c.sha256, c.part) for c in clips(video)]
    stored = extract(again, classifier, cache)
    assert all(np.array_equal(*pair) for pair in zip(stored.values, found.values, strict=True))
    frames = read_frames(clips(video), SPEC, cache)
    assert np.array_equal(frames.values[1], part(video, 2, 4, SPEC).frames)


def test_a_part_of_another_content_trains_nothing(
    video: Path, classifier: Classifier, tmp_path: Path
) -> None:
    changed = tmp_path / "b.mp4"
    shutil.copy(video, changed)
    _, one, other = clips(video)
    with changed.open("ab") as file:
        file.write(bytes([0, 0, 0, 8, *b"free"]))
    wrong = LabelledClip(changed, one.label, one.group, one.sha256, one.part)
    dataset._sha256_once.cache_clear()
    found = extract([wrong, other], classifier, Cache(10**9, tmp_path / "cache"), tolerated=1)
    assert found.clips == [other]
    assert list(found.skipped.values()) == ["changed while it was read"]
    assert list(found.skipped) == [f"{changed} (2 to 4 s)"]
    assert content_of(one.sha256) == sha256_of(video)

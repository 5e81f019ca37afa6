"""A class that people label only in parts of long videos is learned from these parts alone."""

import subprocess
from pathlib import Path

import pytest
from homes import MadeHome
from lab import SHADES, Lab
from lab import champion as champion
from lab import lab as lab

from daemon.database.records import WindowPrediction
from daemon.database.tables import videos
from daemon.database.windows import Windows
from daemon.labels.labels import Origin
from daemon.labels.parts import Part, PartLabels
from daemon.training.holdout import assign_sides, labelled_videos
from learner.classifier import Classifier
from learner.safe_open import open_regular
from learner.window_plan import content_of
from learner.windows import read_part

pytestmark = pytest.mark.slow


def colour(shade: int) -> str:
    return f"color=0x{shade:02x}0000:s=64x48:r=25:d=2"


def long_clip(home: MadeHome, group: int, label: str, other: str) -> int:
    """Two seconds of one class, then two of another one; gives the video's id."""
    path = home.inbox / f"long{group}.mp4"
    inputs = [
        word
        for shade in (SHADES[label] + group, SHADES[other] + group)
        for word in ("-f", "lavfi", "-i", colour(shade))
    ]
    # Two shades may be encoded as the same content.
    title = ["-metadata", f"title={group}"]
    joined = ["-filter_complex", "concat=n=2", "-pix_fmt", "yuv420p", *title, path]
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *joined], check=True)
    home.enqueue(path, group=f"long{group}")
    (claimed,) = home.claim()
    windows = [
        WindowPrediction(
            video_id=claimed.id,
            number=number,
            start=2.0 * number,
            end=2.0 * number + 2,
            prediction=home.model_prediction("dark"),
            frames_read=4,
        )
        for number in range(2)
    ]
    Windows(home.engine).record(windows, home.now)
    predicted = home.model_prediction("dark")
    home.record(home.prediction(claimed.id, predicted, has_windows=True))
    home.file()
    return claimed.id


def test_a_class_is_learned_from_parts_of_videos_alone(lab: Lab) -> None:
    for group in range(10):
        video = long_clip(lab, group, "dark", "grey")
        origin = Origin("command", "ann", lab.now)
        PartLabels(lab.engine).add(video, Part(2, 4), "grey", origin, new_class=True)
    lab.label("dark", range(20, 28))
    lab.label("bright", range(20, 28))
    lab.tend(lab.decided)
    decision = lab.history.newest_first()[0]
    learned = Classifier.load(lab.home.model("auto-1"), "cpu")
    assert "grey" in learned.classes, decision
    parts = [clip for clip in learned.manifest.trained_on if "@2.000-4.000" in clip.sha256]
    assert len(parts) >= 3
    assert {clip.label for clip in parts} == {"grey"}
    contents = {content_of(clip.sha256) for clip in parts}
    rows = {row.sha256: row for row in lab.rows(videos)}
    assert contents <= set(rows)
    # The part is predicted as it was labelled.
    with open_regular(Path(rows[content_of(parts[0].sha256)].path.decode())) as file:
        clip = read_part(file, learned.spec, 2, 4)
    assert learned.predict([clip])[0].class_name == "grey"


def test_a_part_and_its_video_are_on_one_side(lab: Lab) -> None:
    for group in range(12):
        video = long_clip(lab, group, "dark", "grey")
        lab.give_label(video, "dark")
        origin = Origin("command", "ann", lab.now)
        PartLabels(lab.engine).add(video, Part(2, 4), "grey", origin, new_class=True)
    with lab.engine.begin() as connection:
        clips = labelled_videos(connection)
    sides = assign_sides(lab.engine, clips, 0.3, [], (), lab.now)
    of_video: dict[int, set[str]] = {}
    for clip in clips:
        of_video.setdefault(clip.video_id, set()).add(sides[clip.group])
    assert len(clips) == 24
    assert all(len(found) == 1 for found in of_video.values())
    assert {side for found in of_video.values() for side in found} == {"training", "holdout"}

"""A model is trained from clips that are imported where they lie: a real process, real files."""

import json

import pytest
from conftest import write_video
from lab import SETTINGS, SHADES, Lab
from lab import champion as champion
from lab import lab as lab

from daemon.labels.importing.formats import read_tables
from daemon.labels.importing.importing import Import
from daemon.training.holdout import count_training_clips
from daemon.training.retraining import Retraining


@pytest.mark.slow
def test_clips_of_an_archive_train_and_judge_where_they_lie(lab: Lab) -> None:
    lab.history.apply_setting("starter", lab.now)
    lab.retraining = Retraining(lab.home, SETTINGS, lab.history)
    archive = lab.root.parent / "archive"
    for label, shade in (("day", SHADES["bright"]), ("night", SHADES["dark"])):
        for group in range(5):
            for clip in (1, 2):
                folder = archive / label / f"rec{group}"
                folder.mkdir(parents=True, exist_ok=True)
                write_video(folder / f"{clip}.avi", frames=5 + clip, shade=shade + group)
    before = {path: path.stat().st_mtime_ns for path in archive.rglob("*")}
    tables = read_tables([archive], None, None)
    one = Import(lab.engine, lab.root, SETTINGS, "leave", lambda done, total: None)
    done = one.add(tables, "ann", lab.tick())
    assert (done.n_videos, done.n_labels) == (20, 20)
    lab.predict(lab.model_prediction("bright"))
    with lab.engine.begin() as connection:
        counts = {one.class_name: one[1:] for one in count_training_clips(connection)}
    assert counts == {"day": (10, 5), "night": (10, 5)}
    lab.tend(lab.decided)
    decision = lab.history.newest_first()[0]
    assert (decision.verdict, decision.champion) == ("promoted", "starter"), decision
    manifest = json.loads((lab.home.models / "auto-1.json").read_text())
    assert manifest["classes"] == ["day", "night"]
    # What the weights that it began with had learned from is named, too.
    learned = {sha256 for sha256, label, _ in manifest["trained_on"] if label in ("day", "night")}
    contents = {row.sha256 for row in lab.rows()}
    assert learned < contents
    assert 4 <= len(contents - learned) <= 8  # the holdout
    assert {path: path.stat().st_mtime_ns for path in archive.rglob("*")} == before

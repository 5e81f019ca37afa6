"""A home that version 0.1.0 made opens, and goes on: no video, prediction, label or model is lost."""

import json
import os
import tarfile
from pathlib import Path

import pytest
from installed import Daemon

HOME = Path(__file__).with_name("made_by_0_1") / "home.tar.xz"
VIDEOS = "SELECT id, name, state, sha256, duplicate_of, error FROM videos WHERE id < 10 ORDER BY id"
PREDICTIONS = 'SELECT video_id, "class", probability, logits FROM predictions WHERE video_id < 10'
LABELS = 'SELECT id, video_id, verdict, "class", source, who FROM labels WHERE id < 7'


@pytest.fixture
def old(tmp_path: Path) -> Daemon:
    with tarfile.open(HOME) as archive:
        archive.extractall(tmp_path, filter="data")
    daemon = Daemon(tmp_path / "vidwatch")
    for path, mtime_ns in daemon.query("SELECT CAST(path AS TEXT), mtime_ns FROM videos"):
        there = tmp_path / Path(path).relative_to("/srv")
        os.utime(there, ns=(mtime_ns, mtime_ns))  # an archive rounds it
    daemon.environment["VIDWATCH_MODEL"] = "tiny"
    return daemon


def test_a_home_of_0_1_keeps_its_rows_and_takes_what_comes(old: Daemon) -> None:
    before = [old.query(query) for query in (VIDEOS, PREDICTIONS, LABELS)]
    assert [len(rows) for rows in before] == [9, 7, 6]
    done = old.command("run", "--once")
    assert done.returncode == 0, done.stderr
    assert [old.query(query) for query in (VIDEOS, PREDICTIONS, LABELS)] == before
    new = "SELECT v.name, v.state, m.name FROM videos v JOIN predictions p ON p.video_id = v.id"
    new += " JOIN models m ON m.id = p.model_id WHERE v.id > 9"
    assert old.query(new) == [("waiting.avi", "filed", "other")]
    assert old.query("SELECT count(*) FROM labels") == [(6,)]  # moving the home labels nothing
    assert old.names("inbox") == []


@pytest.mark.slow
def test_a_home_of_0_1_is_checked_labelled_and_rolled_back(old: Daemon) -> None:
    assert old.command("run", "--once").returncode == 0
    checked = old.command("check", "--json")
    nothing = {"findings": [], "files_taken_away": [], "files_replaced": []}
    assert json.loads(checked.stdout) == nothing
    assert old.status()["model"] == "other"
    assert old.command("models", "rollback").returncode == 0
    assert old.status()["model"] == "tiny"
    assert old.command("label", "4", "bright").returncode == 0
    assert old.command("run", "--once").returncode == 0
    assert "v_x_g03_c01.avi" in old.names("labelled/bright")
    listed = json.loads(old.command("labels", "--json").stdout)
    assert [(row["class"], row["clips"]) for row in listed["classes"]] == [
        ("bright", 1),
        ("dark", 4),
    ]

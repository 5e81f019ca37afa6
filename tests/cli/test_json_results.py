"""`--json` of the commands that change something: one object on stdout, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from homes import MadeHome

from daemon.home.folder import Home

VIDWATCH = Path(sys.executable).with_name("vidwatch")
pytestmark = pytest.mark.of_sqlite


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    made = MadeHome(tmp_path / "home")
    for name in "abc":
        made.arrive(f"{name}.avi")
    made.predict_and_file()
    made.close()
    return made


def result(home: MadeHome | Path, *words: str) -> Any:
    root = home if isinstance(home, Path) else home.root
    environment = {**os.environ, "VIDWATCH_HOME": str(root)}
    command = [VIDWATCH, *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


@pytest.mark.slow
def test_init(tmp_path: Path) -> None:
    made = result(tmp_path / "new", "init")
    assert made["inbox"] == str(tmp_path / "new/inbox")
    assert Home.at(tmp_path / "new").has_database()


@pytest.mark.slow
def test_label_and_its_undo(home: MadeHome) -> None:
    expected = {"videos": [1, 2], "undone": False, "without_file": []}
    assert result(home, "label", "a.avi", "2", "Fox") == expected
    assert result(home, "label", "--undo", "2")["undone"] is True
    assert [row[1:3] for row in home.given_labels()] == [
        ("labelled", "Fox"),
        ("labelled", "Fox"),
        ("withdrawn", None),
    ]


@pytest.mark.slow
def test_classes(home: MadeHome) -> None:
    result(home, "label", "1", "Foks")
    assert result(home, "classes", "rename", "Foks", "Fox") == {"class": "Fox", "labels": 1}
    result(home, "label", "2", "Vixen")
    assert result(home, "classes", "merge", "Vixen", "Fox") == {"class": "Fox", "labels": 1}
    assert result(home, "classes", "retire", "Fox") == {"class": None, "labels": 2}


@pytest.mark.slow
def test_add_and_import(home: MadeHome, tmp_path: Path) -> None:
    archive = tmp_path / "archive/Fox"
    archive.mkdir(parents=True)
    (archive / "d.avi").write_text("d")
    (archive / "note.txt").write_text("a note")
    planned = result(home, "import", str(archive.parent), "--dry-run")
    assert (planned["n_labels"], planned["dry_run"]) == (1, True)
    added = result(home, "add", "--in-place", str(archive))
    assert (added["queued"], added["known"], added["no_videos"]) == (1, 0, {".txt": 1})


@pytest.mark.slow
def test_backup_and_restore(home: MadeHome) -> None:
    copy = result(home, "backup")["backup"]
    assert Path(copy).is_file()
    restored = result(home, "restore")
    assert (restored["source"], restored["videos"]) == (copy, 3)


@pytest.mark.slow
def test_a_model_is_promoted_and_rolled_back(home: MadeHome) -> None:
    from learner.catalogue import STARTER

    for suffix in (".json", ".safetensors"):
        model = home.home.models / f"mine{suffix}"
        model.write_bytes(STARTER.with_suffix(suffix).read_bytes())
    assert result(home, "models", "promote", "mine")["champion"] == "mine"
    back = {"champion": "starter", "before": "mine"}
    assert result(home, "models", "rollback") == back

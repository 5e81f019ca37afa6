"""The command `classes`, and its changes, as a person gives them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    """Two clips in a class folder that were not read yet, and one that is labelled by command."""
    home = MadeHome(tmp_path / "home")
    video = home.arrive("a.avi")
    home.predict_and_file()
    home.give_label(video, "Skiing")
    home.file()
    for name in "bc":
        path = home.put(f"labelled/Rowing/{name}.avi")
        home.class_folders.notice([home.found(path)], home.tick())
    yield home
    home.close()


def vidwatch(home: MadeHome, *words: str) -> tuple[int, str]:
    command = [VIDWATCH, "--home", home.root, "classes", *words]
    environment = os.environ | {"TZ": "UTC", "COLUMNS": "120"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_what_was_learned_last_from_folders_is_shown_and_taken_back_once(home: MadeHome) -> None:
    code, text = vidwatch(home)
    assert code == 0
    assert "learned last: 2 labels Rowing by class folders, 2026-01-02" in text
    assert "vidwatch classes undo" in text
    code, text = vidwatch(home, "undo")
    assert (code, "c.avi, b.avi" in text, "taken back: 2 labels changed" in text) == (0, True, True)
    code, text = vidwatch(home)
    assert (code, "Rowing" in text, "learned last" in text) == (0, False, False)
    code, text = vidwatch(home, "undo")
    assert (code, text) == (2, "vidwatch: no label that counts was given by class folders\n")


def test_classes_are_renamed_merged_and_retired(home: MadeHome) -> None:
    assert vidwatch(home, "rename", "Rowing", "Boats")[0] == 0
    code, text = vidwatch(home, "merge", "Boats", "Skiing")
    assert (code, "Boats is part of Skiing: 2 labels changed" in text) == (0, True)
    code, text = vidwatch(home, "retire", "Skiing")
    assert (code, "Skiing is retired: 3 labels changed" in text) == (0, True)
    code, text = vidwatch(home, "retire", "Kayak")
    assert (code, "'vidwatch classes' lists them" in text) == (2, True)

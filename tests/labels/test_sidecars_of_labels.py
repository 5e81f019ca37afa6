"""A clip that a person moves to another class folder: its sidecars follow, and the label counts."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.labels.class_folders import ClassFolders


class StoppedError(Exception):
    """The watcher ends."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


@pytest.fixture
def behind(home: MadeHome, tmp_path: Path) -> Iterator[Path]:
    """The folder that `labelled/Skiing` shows: nothing can be renamed from one to the other."""
    folder = tmp_path / "behind"
    folder.mkdir()
    shown = home.root / "labelled/Skiing"
    shown.mkdir()
    command = ["mount", "--bind", str(folder), str(shown)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a folder")
    yield folder
    subprocess.run(["umount", "-l", str(shown)], check=True)


def moved(home: MadeHome, folder: Path) -> Path:
    """A filed clip with a sidecar, which a person moves into `labelled/Skiing`."""
    video = home.arrive("a.avi")
    home.predict_and_file()
    home.put("classified/Biking/a.THM")
    home.path(video).rename(folder / "a.avi")
    return home.root / "labelled/Skiing/a.avi"


def test_a_sidecar_that_cannot_be_moved_undoes_no_label(home: MadeHome, behind: Path) -> None:
    path = moved(home, behind)
    command = ["mount", "-o", "remount,bind,ro", str(path.parent)]
    subprocess.run(command, check=True, capture_output=True)
    home.class_folders.notice([home.found(path)], home.tick())
    assert home.given_labels() == [(1, "labelled", "Skiing", "moved")]
    assert home.place(1) == "labelled/Skiing/a.avi"
    assert (home.root / "classified/Biking/a.THM").exists()


def test_the_database_is_free_while_a_sidecar_is_copied(home: MadeHome, behind: Path) -> None:
    path = moved(home, behind)
    seen = []

    def progress() -> None:
        home.give_label(1, "Biking")  # somebody else's
        seen.append(home.place(1))

    class_folders = ClassFolders(home.engine, home.folders, progress)
    class_folders.notice([home.found(path)], home.tick())
    assert seen[0] == "labelled/Skiing/a.avi"
    assert home.given_labels()[0] == (1, "labelled", "Skiing", "moved")
    assert (behind / "a.THM").read_text() == "classified/Biking/a.THM"


def test_a_stop_while_a_sidecar_is_copied_keeps_the_label(home: MadeHome, behind: Path) -> None:
    path = moved(home, behind)

    def stop() -> None:
        raise StoppedError

    class_folders = ClassFolders(home.engine, home.folders, stop)
    with pytest.raises(StoppedError):
        class_folders.notice([home.found(path)], home.tick())
    assert home.given_labels() == [(1, "labelled", "Skiing", "moved")]
    assert (home.root / "classified/Biking/a.THM").exists()
    assert [file.name for file in behind.iterdir()] == ["a.avi"]

"""Files and folders that a person names, and names that are nearly right."""

from pathlib import Path

import pytest

from daemon.home.folders import DEFAULT
from daemon.home.named_files import named_files
from daemon.home.similar import question, similar
from learner.errors import VidwatchError


def put(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [str(folder / name) for name in names]


def test_of_a_folder_all_videos_are_taken_and_of_files_those_that_are_named(tmp_path: Path) -> None:
    first, second, note = put(tmp_path / "clips", "a.mp4", "day 2/b.mp4", "note.txt")
    put(tmp_path / "clips", ".hidden.mp4", "c.mp4.part")
    assert named_files([str(tmp_path / "clips")], DEFAULT) == [first, second]
    assert named_files([note, first], DEFAULT) == [note, first]


def test_what_is_not_there_is_named_with_what_was_perhaps_meant(tmp_path: Path) -> None:
    put(tmp_path, "v_Biking_g01_c01.avi", "empty/note.txt")
    with pytest.raises(VidwatchError) as caught:
        named_files([str(tmp_path / "v_Biking_g01.avi"), str(tmp_path / "empty")], DEFAULT)
    missing, empty = str(caught.value).split("; ", 1)[0], str(caught.value).rsplit("; ", 1)[1]
    assert missing.endswith("v_Biking_g01.avi: there is no such file or folder")
    assert "did you mean 'v_Biking_g01_c01.avi'?" in str(caught.value)
    assert empty.endswith("empty: no file in this folder is a video by its name")


def test_a_name_that_differs_by_a_slip_is_the_only_one_that_is_offered() -> None:
    assert similar("Zebar", {"Zebra", "Zebras"}) == ["Zebra"]
    assert similar("auto1", {"auto-1", "auto-12", "starter"})[0] == "auto-1"
    assert similar("Fox", {"Zebra"}) == []
    assert question([]) == ""
    assert question(["a\x1b", "b"]) == r"did you mean 'a\\x1b' or 'b'?"

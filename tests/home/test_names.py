"""Second names of files are set aside, and no file that only has such a name by now."""

import logging
import os
from pathlib import Path

import pytest

from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.home.names import OtherNames


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A filed clip."""
    path = tmp_path / "classified" / "a.avi"
    for name in ("inbox", "classified", "duplicates"):
        (tmp_path / name).mkdir()
    path.write_text("a clip")
    return path


def second_name(first: Path, root: Path) -> Found:
    path = root / "inbox" / "a.avi"
    path.hardlink_to(first)
    identity = identify(bytes(path))
    assert identity is not None
    return Found(bytes(path), identity)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_second_name_is_moved_to_duplicates(first: Path, tmp_path: Path) -> None:
    names = OtherNames(Folders(tmp_path))
    assert names.set_aside(second_name(first, tmp_path))
    assert names.set_aside(second_name(first, tmp_path))
    assert names_in(tmp_path / "duplicates") == ["a-2.avi", "a.avi"]
    assert names_in(tmp_path / "inbox") == []


def test_a_new_file_that_has_the_name_by_now_stays(first: Path, tmp_path: Path) -> None:
    name = second_name(first, tmp_path)
    path = Path(os.fsdecode(name.path))
    path.unlink()
    path.write_text("a new clip")
    assert not OtherNames(Folders(tmp_path)).set_aside(name)
    assert path.read_text() == "a new clip"
    assert names_in(tmp_path / "duplicates") == []


def test_a_name_that_is_gone_is_no_trouble(
    first: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = second_name(first, tmp_path)
    Path(os.fsdecode(name.path)).unlink()
    with caplog.at_level(logging.INFO):
        assert not OtherNames(Folders(tmp_path)).set_aside(name)
    assert caplog.messages == []

import os
from pathlib import Path

from daemon.home.identity import display_name, identify, open_for_writing


def test_a_file_keeps_its_identity_when_it_is_renamed_and_changes_it_when_written(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = identify(bytes(path))
    path.rename(tmp_path / "b")
    assert identify(bytes(tmp_path / "b")) == before
    (tmp_path / "b").write_bytes(b"longer")
    assert identify(bytes(tmp_path / "b")) != before


def test_links_pipes_and_folders_have_no_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert [identify(bytes(tmp_path / name)) for name in ("link", "pipe", ".", "none")] == [
        None
    ] * 4


def test_a_writer_is_noticed_until_it_closes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.write(b"half")
        file.flush()
        assert open_for_writing(bytes(path))
    assert not open_for_writing(bytes(path))


def test_a_reader_and_a_pipe_are_no_writers(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe")
    with path.open("rb"):
        assert not open_for_writing(bytes(path))
    assert not open_for_writing(bytes(tmp_path / "pipe"))


def test_a_name_that_is_not_utf8_can_be_shown() -> None:
    assert display_name(b"/a/b\xffc.mp4") == r"b\xffc.mp4"

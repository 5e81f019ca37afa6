"""Empty folders of the inbox, on a real file system. Their age is a matter of the clock given."""

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.inbox.empty_folders import EmptyFolders


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def later(minutes: float = 11) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def left(inbox: Path) -> set[str]:
    return {str(path.relative_to(inbox)) for path in inbox.rglob("*")}


def test_old_empty_folders_go_with_all_that_are_in_them_and_the_inbox_stays(inbox: Path) -> None:
    (inbox / "cam1/2024/01/31").mkdir(parents=True)
    (inbox / "cam1/2024/02").mkdir()
    (inbox / os.fsdecode(b"b\xff[a]")).mkdir()
    assert EmptyFolders(inbox, 10).tend(later()) == 6
    assert left(inbox) == set()
    assert EmptyFolders(inbox, 10).tend(later()) == 0
    assert inbox.is_dir()


def test_young_folders_stay_whatever_date_they_were_given(inbox: Path) -> None:
    (inbox / "new").mkdir()
    os.utime(inbox / "new", (0, 0))  # as rsync and tar do
    assert EmptyFolders(inbox, 10).tend(datetime.now(UTC)) == 0
    assert left(inbox) == {"new"}


def test_what_holds_anything_stays(inbox: Path) -> None:
    (inbox / "full").mkdir()
    (inbox / "full/a.mp4").touch()
    (inbox / "half").mkdir()
    (inbox / "half/.a.mp4.Xy12").touch()
    (inbox / "hidden/.sync").mkdir(parents=True)
    (inbox / "pipe").mkdir()
    os.mkfifo(inbox / "pipe/p")
    (inbox / "linked").mkdir()
    (inbox / "linked/l").symlink_to("/nowhere")
    before = left(inbox)
    assert EmptyFolders(inbox, 10).tend(later()) == 0
    assert left(inbox) == before


def test_links_are_not_followed(inbox: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/empty").mkdir(parents=True)
    (inbox / "link").symlink_to(tmp_path / "elsewhere")
    assert EmptyFolders(inbox, 10).tend(later()) == 0
    assert (tmp_path / "elsewhere/empty").is_dir()


def test_a_folder_that_is_replaced_by_a_link_meanwhile_costs_nothing_elsewhere(
    inbox: Path, tmp_path: Path
) -> None:
    """Somebody swaps the folder for a link to another one, all the time."""
    (tmp_path / "elsewhere/empty").mkdir(parents=True)
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            (inbox / "day/empty").mkdir(parents=True, exist_ok=True)
            try:
                (inbox / "day").rename(tmp_path / "away")
                (inbox / "day").symlink_to(tmp_path / "elsewhere")
                (inbox / "day").unlink()
                (tmp_path / "away").rename(inbox / "day")
            except FileNotFoundError:
                continue

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            EmptyFolders(inbox, 10).tend(later())
    finally:
        ended.set()
        thread.join()
    assert (tmp_path / "elsewhere/empty").is_dir()


def test_a_file_that_comes_between_is_safe(inbox: Path) -> None:
    """`progress` is called just before each removal: there the file comes."""
    (inbox / "day").mkdir()
    (inbox / "other").mkdir()

    def comes() -> None:
        if (inbox / "day").exists():
            (inbox / "day/a.mp4").write_text("clip")

    folders = EmptyFolders(inbox, 10, comes)
    found = folders._without_files(later())
    comes()
    assert sum(folders._remove(folder) for folder in found) <= 1
    assert (inbox / "day/a.mp4").read_text() == "clip"


def test_a_missing_inbox_is_no_trouble(tmp_path: Path) -> None:
    assert EmptyFolders(tmp_path / "away", 10).tend(later()) == 0


def test_a_socket_in_a_folder_keeps_it(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inbox / "s").mkdir()
    monkeypatch.chdir(inbox / "s")  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("x")
        assert EmptyFolders(inbox, 10).tend(later()) == 0

"""Files that are not whole yet though they look so, as programs that bring files write them."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from watched import Taken, wait_for, watch

from daemon.home.left_alone import LeftAlone
from daemon.inbox.settling import SETTLED_SOON

SETTLE = 1.5  # longer than a camera waits


@pytest.fixture
def found() -> Taken:
    return Taken()


@pytest.fixture
def inbox(tmp_path: Path, found: Taken) -> Iterator[Path]:
    """A folder that is watched, and whose files are known by events alone."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    watcher = watch(inbox, found, settle=SETTLE)
    watcher.start()
    wait_for(watcher.at_rest)
    yield inbox
    watcher.stop()


def took(inbox: Path, found: Taken, name: str) -> float:
    """How many seconds pass until a file is handed on."""
    began = time.monotonic()
    wait_for(lambda: name in found.names(inbox), 20)
    return time.monotonic() - began


def test_a_camera_that_closes_its_file_waits_a_second_and_renames_it_finds_it_again(
    inbox: Path, found: Taken
) -> None:
    (inbox / "upload.mp4").write_bytes(b"video")
    time.sleep(1)
    assert found.files == {}
    (inbox / "upload.mp4").rename(inbox / "a.mp4")
    assert took(inbox, found, "a.mp4") < SETTLE
    assert found.names(inbox) == {"a.mp4"}


def test_a_copy_that_keeps_the_date_of_its_original_is_whole_soon(
    tmp_path: Path, inbox: Path, found: Taken
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    os.utime(tmp_path / "a.mp4", (1e9, 1e9))
    subprocess.run(["cp", "-p", tmp_path / "a.mp4", inbox / "cp.mp4"], check=True)
    assert SETTLED_SOON / 2 < took(inbox, found, "cp.mp4") < SETTLE
    shutil.copyfile(tmp_path / "a.mp4", inbox / "plain.mp4")
    assert took(inbox, found, "plain.mp4") >= SETTLE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("a.mp4", "a.mp4.aria2"),
        ("a.mp4", "a.mp4.lftp-pget-status"),
        ("a.f137.mp4", "a.f140.m4a"),
        ("a.f137.mp4", "a.f251-drc.webm.part"),
        ("a.f137.mp4", "a.temp.mp4"),
        ("a.mp4", "a.x3F_b-.mp4.part"),
        ("a.mp4", "a.mp4.part"),
    ],
)
def test_a_file_waits_while_one_beside_it_shows_that_more_is_to_come(
    inbox: Path, found: Taken, name: str, beside: str
) -> None:
    (inbox / beside).write_bytes(b"more")
    is_held_free = beside.endswith("mp4.part")
    (inbox / name).write_bytes(b"" if is_held_free else b"video")
    subject = "unfinished in inbox"
    wait_for(lambda: f"{name} waits until {beside} is gone" in found.notes.get(subject, ""))
    assert name not in found.names(inbox)
    if is_held_free:
        (inbox / beside).rename(inbox / name)
    else:
        (inbox / beside).unlink()
    took(inbox, found, name)
    assert subject not in found.notes


@pytest.mark.parametrize("name", ["a.f137.mp4", "empty.mp4"])
def test_a_file_with_such_a_name_and_nothing_beside_it_is_taken(
    inbox: Path, found: Taken, name: str
) -> None:
    (inbox / "other.f1.mp4").write_bytes(b"video")
    (inbox / name).write_bytes(b"" if name == "empty.mp4" else b"video")
    took(inbox, found, name)


def test_a_download_of_safari_is_taken_when_it_leaves_its_folder(inbox: Path, found: Taken) -> None:
    (inbox / "a.mp4.download").mkdir()
    (inbox / "a.mp4.download/a.mp4").write_bytes(b"half")
    time.sleep(2 * SETTLE)
    assert found.files == {}
    (inbox / "a.mp4.download/a.mp4").rename(inbox / "a.mp4")
    took(inbox, found, "a.mp4")


@pytest.mark.parametrize("polling", [False, True])
def test_side_files_and_bins_are_left_alone_by_events_and_by_searches(
    tmp_path: Path, found: Taken, polling: bool
) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "cam").mkdir(parents=True)
    left_alone = LeftAlone(["@eaDir/", "proxy/", "*.jpg", "/cam/tests"])
    watcher = watch(inbox, found, 0.5, polling, settle=0.2, left_alone=left_alone)

    def fill(name: str) -> None:
        for folder in ("cam/@eaDir/x", "proxy", "cam/tests", "tests"):
            (inbox / folder).mkdir(parents=True, exist_ok=True)
            (inbox / folder / name).write_bytes(name.encode())
        (inbox / f"{name}.jpg").write_bytes(b"picture")
        (inbox / name).write_bytes(b"video " + name.encode())

    fill("before.mp4")
    watcher.start()
    wait_for(lambda: len(found.files) == 2)
    fill("after.mp4")
    wait_for(lambda: len(found.files) == 4)
    time.sleep(1.5)
    watcher.stop()
    names = {"before.mp4", "after.mp4"}
    assert found.names(inbox) == names | {f"tests/{name}" for name in names}

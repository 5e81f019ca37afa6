"""Files that are still being written, in all the ways in which people bring files: each is answered
once, and whole.
"""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ordeal import Ordeal
from ordeal import tiny_model as tiny_model

pytestmark = pytest.mark.slow
SETTLE = 0.5


class Desk:
    """One daemon for all tests of this file; each works with clips of its own."""

    def __init__(self, ordeal: Ordeal) -> None:
        self.ordeal, self.inbox, self.outside = (
            ordeal,
            ordeal.home.inbox,
            ordeal.home.root.parent / "outside",
        )
        self.outside.mkdir()
        self._number = 0

    def clip(self, name: str = "") -> Path:
        """A clip with a content of its own, outside of the home."""
        self._number += 1
        made = self.ordeal.drop(self._number, f"../outside/{name or self._number}.avi")
        return made.resolve()

    def wait(self) -> None:
        """Until all is done, and well."""
        assert self.ordeal.wait_for(self.ordeal.is_worked_off, 60), self.ordeal.query(
            "SELECT name, state FROM videos"
        )
        self.ordeal.require_all_there()
        assert (
            self.ordeal.query(
                "SELECT name, error FROM videos WHERE error IS NOT NULL OR state != 'filed'"
            )
            == []
        )
        assert self.ordeal.query("SELECT count(*) FROM predictions WHERE read_share != 1") == [(0,)]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(root / "cache"))
        ordeal = Ordeal(root / "home", tiny_model, settle_seconds=SETTLE)
    ordeal.start()
    yield Desk(ordeal)
    ordeal.stop()
    ordeal.require_well()


def write_slowly(source: Path, target: Path, pause: float, *, closing: bool) -> None:
    """In four pieces, longer apart than a file settles; closed between them, as over a network, or
    held open.
    """
    content = source.read_bytes()
    piece = len(content) // 4 + 1
    if closing:
        for first in range(0, len(content), piece):
            with target.open("ab") as file:
                file.write(content[first : first + piece])
            time.sleep(pause)
    else:
        with target.open("wb") as file:
            for first in range(0, len(content), piece):
                file.write(content[first : first + piece])
                file.flush()
                time.sleep(pause)
    source.unlink()


def test_a_writer_that_pauses_for_longer_than_the_settle_time_and_holds_the_file_open(
    desk: Desk,
) -> None:
    write_slowly(desk.clip(), desk.inbox / "paused.avi", 3 * SETTLE, closing=False)
    desk.wait()


def test_a_writer_that_pauses_and_closes_the_file_in_between(desk: Desk) -> None:
    """As a network's server does: nobody can tell that it goes on, but what is there is cut short."""
    write_slowly(desk.clip(), desk.inbox / "closed.avi", 3 * SETTLE, closing=True)
    desk.wait()


def test_a_writer_that_begins_with_an_empty_file_of_the_full_size(desk: Desk) -> None:
    """As copies over a network are begun."""
    source = desk.clip()
    with (desk.inbox / "allocated.avi").open("wb") as file:
        file.truncate(source.stat().st_size)
        time.sleep(2 * SETTLE)
        file.write(source.read_bytes())
    source.unlink()
    desk.wait()


def test_cp_and_a_browser_that_renames_its_part(desk: Desk) -> None:
    for name, partial in (
        ("cp.avi", "cp.avi"),
        ("chrome.avi", "chrome.avi.crdownload"),
        ("fox.avi", "fox.avi.part"),
    ):
        source = desk.clip()
        subprocess.run(["cp", source, desk.inbox / partial], check=True)
        time.sleep(2 * SETTLE if partial != name else 0)
        if partial != name:
            (desk.inbox / partial).rename(desk.inbox / name)
        source.unlink()
    desk.wait()


def test_rsync(desk: Desk) -> None:
    if not shutil.which("rsync"):
        pytest.skip("needs rsync")
    clips = [desk.clip(f"rsync-{number}") for number in range(3)]
    subprocess.run(["rsync", "-a", "--bwlimit=8", *clips, f"{desk.inbox}/"], check=True)
    for clip in clips:
        clip.unlink()
    desk.wait()


def test_rsync_that_writes_in_place(desk: Desk) -> None:
    if not shutil.which("rsync"):
        pytest.skip("needs rsync")
    clip = desk.clip("in-place")
    subprocess.run(["rsync", "-a", "--inplace", "--bwlimit=2", clip, f"{desk.inbox}/"], check=True)
    clip.unlink()
    desk.wait()


def test_a_whole_folder_moved_in_and_one_moved_in_while_it_is_read(desk: Desk) -> None:
    for folder in ("first", "second"):
        (desk.outside / folder / "deep").mkdir(parents=True)
        for number in range(5):
            desk.clip().rename(desk.outside / folder / "deep" / f"{number}.avi")
        (desk.outside / folder).rename(desk.inbox / folder)
    time.sleep(SETTLE)
    (desk.inbox / "first").rename(desk.inbox / "renamed")
    desk.wait()


def test_hard_links(desk: Desk) -> None:
    """Two names of one file are one video; the other name goes to duplicates/, without a row."""
    clip = desk.clip()
    for name in ("one.avi", "two.avi"):
        (desk.inbox / name).hardlink_to(clip)
    clip.unlink()
    duplicates = desk.ordeal.home.root / "duplicates"
    assert desk.ordeal.wait_for(lambda: list(duplicates.glob("*.avi"))), desk.ordeal.end_of_log()
    (spare,) = duplicates.glob("*.avi")
    assert spare.name in ("one.avi", "two.avi")
    assert spare.stat().st_nlink == 2
    spare.unlink()
    desk.wait()


def test_a_file_replaced_by_another_of_the_same_name_again_and_again(desk: Desk) -> None:
    """Whatever is in hand when it is replaced: the answer is never of the one file, filed under the
    other.
    """
    for _ in range(12):
        clip = desk.clip()
        before = desk.inbox / "replaced.avi"
        try:
            os.link(before, desk.outside / "kept.avi")
            is_there = True
        except FileNotFoundError:
            is_there = False
        clip.rename(before)
        if (
            is_there
        ):  # what it took the place of is gone from the inbox, and comes back under another name
            (desk.outside / "kept.avi").rename(desk.inbox / f"kept-{time.monotonic_ns()}.avi")
        time.sleep(SETTLE * 0.7)
    desk.wait()


def test_many_writers_at_once(desk: Desk) -> None:
    def copies(clips: list[Path]) -> Callable[[], None]:
        def copy() -> None:
            for clip in clips:
                shutil.copy(clip, desk.inbox / clip.name)
                clip.unlink()

        return copy

    writers = [
        threading.Thread(target=copies([desk.clip(f"many-{writer}-{n}") for n in range(25)]))
        for writer in range(8)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    desk.wait()

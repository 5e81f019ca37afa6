"""Pictures, sounds and `.xml` without a clip beside them, in the inbox of a real home."""

import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from watched import wait_for

from daemon.home.folders import Found
from daemon.home.identity import identify
from daemon.home.settings import Settings
from daemon.inbox.lone_sidecars import LoneSidecars
from daemon.inbox.watcher import Watcher
from daemon.service.watchers import watchers

SETTLE = 0.1
ALONE = 15 * SETTLE  # seconds after which a picture counts as a clip


class StoppedError(Exception):
    """Whoever waits is to stop waiting."""


class Watched:
    """A home whose inbox is watched."""

    def __init__(self, home: MadeHome) -> None:
        self.home = home
        self.notes: dict[str, str | None] = {}
        settings = Settings(settle_seconds=SETTLE, rescan_seconds=1)
        self.watcher: Watcher = watchers(
            home.home,
            settings,
            home.queue,
            threading.Event(),
            self.notes.__setitem__,
            lambda what: None,
        )[0]

    def names(self) -> set[str]:
        """Of the files that were queued."""
        return {row.name for row in self.home.rows()}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    home = MadeHome(tmp_path / "home")
    watched = Watched(home)
    yield watched
    if watched.watcher._thread.ident:
        watched.watcher.stop()
    home.close()


def test_a_picture_whose_name_is_not_utf8_does_not_end_the_search(watched: Watched) -> None:
    watched.home.put("inbox/" + os.fsdecode(b"caf\xe9.jpg"), "a picture")
    watched.watcher.start()
    wait_for(lambda: watched.names() == {r"caf\xe9.jpg"}, 20 * ALONE)
    watched.home.put("inbox/a.mp4")
    wait_for(lambda: "a.mp4" in watched.names(), 20 * ALONE)
    assert watched.watcher.failure is None


def test_a_picture_of_a_filed_clip_whose_name_is_not_utf8_stays(watched: Watched) -> None:
    name = os.fsdecode(b"caf\xe9")
    watched.home.arrive(f"{name}.mp4", "a clip")
    watched.home.predict_and_file()
    watched.home.put(f"inbox/{name}.jpg", "a picture")
    watched.home.put("inbox/alone.jpg")
    watched.watcher.start()
    wait_for(lambda: "alone.jpg" in watched.names(), 20 * ALONE)
    assert watched.names() == {r"caf\xe9.mp4", "alone.jpg"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "sidecar"),
    [("C0001.MP4", "C0001M01.XML"), ("GX010001.MP4", "GL010001.JPG"), ("A.MP4", "A.JPG")],
)
def test_a_side_file_that_comes_after_its_clip_was_filed_stays(
    watched: Watched, clip: str, sidecar: str
) -> None:
    watched.home.arrive(clip)
    watched.home.predict_and_file()
    watched.home.put(f"inbox/{sidecar}")
    watched.home.put("inbox/alone.jpg")
    watched.watcher.start()
    wait_for(lambda: "alone.jpg" in watched.names(), 20 * ALONE)
    assert watched.names() == {clip, "alone.jpg"}
    assert sidecar in (watched.notes["side files in inbox"] or "")


class Folder:
    """A folder with many clips, and what tells their side files from them."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self.looked_at = 0
        for number in range(MANY):
            (path / f"{number}.mp4").touch()
        self.sidecars = LoneSidecars(patience, lambda stem: False, self.note, self.go_on)

    def note(self, text: str | None) -> None:
        self.noted = text

    def go_on(self) -> None:
        self.looked_at += 1

    def is_clip(self, name: str) -> bool:
        """Whether a file that comes now counts as a clip."""
        (self.path / name).touch()
        identity = identify(bytes(self.path / name))
        assert identity
        return bool(self.sidecars.clips([Found(bytes(self.path / name), identity)]))


MANY = 20_000


def test_a_large_folder_is_not_listed_again_for_each_side_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path, math.inf)
    assert not any(folder.is_clip(f"{number}.jpg") for number in range(40))
    assert MANY <= folder.looked_at < 5 * MANY


def test_an_old_list_of_a_folder_makes_no_clip_of_a_side_file(tmp_path: Path) -> None:
    folder = Folder(tmp_path, 0)
    assert folder.is_clip("first alone.jpg")
    (tmp_path / "new.mp4").touch()
    assert not folder.is_clip("new.jpg")  # it was listed before that clip came
    wait_for(lambda: folder.is_clip("alone.jpg"))
    assert not folder.is_clip("new.jpg")


def test_looking_for_clips_can_be_stopped(tmp_path: Path) -> None:
    folder = Folder(tmp_path, math.inf)

    def stop() -> None:
        raise StoppedError

    folder.sidecars._go_on = stop
    with pytest.raises(StoppedError):
        folder.is_clip("a.jpg")
    folder.sidecars._go_on = folder.go_on
    assert not folder.is_clip("b.jpg")
    folder.sidecars._next_show = 0.0
    folder.sidecars._go_on = stop
    with pytest.raises(StoppedError):
        folder.sidecars._show()


def test_a_home_of_many_lone_side_files_stops_at_once(watched: Watched) -> None:
    for number in range(2000):
        (watched.home.inbox / f"{number}.THM").touch()
    watched.watcher.start()
    wait_for(lambda: "2000 side files" in (watched.notes.get("side files in inbox") or ""))
    watched.watcher.stop()
    assert watched.watcher.failure is None

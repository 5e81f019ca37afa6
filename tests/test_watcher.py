import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from daemon.identity import Identity, identify
from daemon.watcher import Watcher

SETTLE = 0.3


class Found:
    """What a watcher enqueues; like the store it knows what it has."""

    def __init__(self) -> None:
        self.files: dict[bytes, Identity] = {}
        self.calls = 0

    def enqueue(self, whole: list[tuple[bytes, Identity]]) -> None:
        self.calls += len(whole)
        self.files.update(whole)

    def unknown(self, files: Sequence[tuple[bytes, Identity | None]]) -> list[bytes]:
        return [path for path, identity in files if identity not in self.files.values()]

    def names(self, root: Path) -> set[str]:
        return {os.path.relpath(os.fsdecode(path), root) for path in self.files}


@pytest.fixture
def found() -> Found:
    return Found()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def watch(inbox: Path, found: Found, rescan: float = 3600, on_death: Callable[[], None] = lambda: None) -> Watcher:
    return Watcher(
        [bytes(inbox)],
        settle=SETTLE,
        rescan=rescan,
        unknown=found.unknown,
        take=found.enqueue,
        trouble=ConnectionError,
        on_death=on_death,
    )


@pytest.fixture
def watcher(inbox: Path, found: Found) -> Iterator[Watcher]:
    watcher = watch(inbox, found)
    yield watcher
    watcher.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_files_that_were_there_before_and_in_sub_folders_are_found(inbox: Path, found: Found, watcher: Watcher) -> None:
    (inbox / "cam1/day 2").mkdir(parents=True)
    for name in ("a.mp4", "cam1/b.mp4", "cam1/day 2/c"):
        (inbox / name).write_bytes(b"video")
    watcher.start()
    wait_for(lambda: found.names(inbox) == {"a.mp4", "cam1/b.mp4", "cam1/day 2/c"})


def test_files_written_moved_in_linked_and_whole_folders_are_noticed(
    tmp_path: Path, inbox: Path, found: Found, watcher: Watcher
) -> None:
    watcher.start()
    wait_for(watcher.at_rest)
    (inbox / "written.mp4").write_bytes(b"video")
    (tmp_path / "moved.mp4").write_bytes(b"video")
    (tmp_path / "moved.mp4").rename(inbox / "moved.mp4")
    (tmp_path / "other").write_bytes(b"video")
    (inbox / "linked.mp4").hardlink_to(tmp_path / "other")
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/inside.mp4").write_bytes(b"video")
    (tmp_path / "folder").rename(inbox / "folder")
    wait_for(lambda: found.names(inbox) == {"written.mp4", "moved.mp4", "linked.mp4", "folder/deep/inside.mp4"})


def test_a_copy_in_progress_is_left_alone_until_it_is_renamed(inbox: Path, found: Found, watcher: Watcher) -> None:
    watcher.start()
    (inbox / "a.mp4.part").write_bytes(b"video")
    (inbox / "Thumbs.db").write_bytes(b"litter")
    time.sleep(3 * SETTLE)
    assert found.files == {}
    (inbox / "a.mp4.part").rename(inbox / "a.mp4")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})


def test_a_slow_write_is_handed_on_once_and_whole(inbox: Path, found: Found, watcher: Watcher) -> None:
    watcher.start()
    with (inbox / "a.mp4").open("wb") as file:
        for _ in range(6):
            file.write(b"x" * 1000)
            file.flush()
            time.sleep(SETTLE / 2)
        time.sleep(2 * SETTLE)  # longer than the settle time, but the file is still open
    wait_for(lambda: bool(found.files))
    assert found.files == {bytes(inbox / "a.mp4"): identify(bytes(inbox / "a.mp4"))}
    assert found.calls == 1


def test_a_search_finds_what_no_event_told_of_and_nothing_twice(inbox: Path, found: Found) -> None:
    watcher = watch(inbox, found, rescan=2 * SETTLE)
    threading.Thread.start(watcher._thread)  # without watchdog's observer: as if every event were lost
    wait_for(watcher.at_rest)
    (inbox / "a.mp4").write_bytes(b"video")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    time.sleep(8 * SETTLE)
    watcher.stop()
    assert found.calls == 1


def test_files_that_cannot_be_queued_now_are_queued_later(
    inbox: Path, found: Found, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = 2

    def locked_at_first(whole: list[tuple[bytes, Identity]]) -> None:
        nonlocal troubles
        if troubles:
            troubles -= 1
            raise ConnectionError("database is locked")
        found.enqueue(whole)

    monkeypatch.setattr(watcher, "_take", locked_at_first)
    (inbox / "a.mp4").write_bytes(b"video")
    watcher.start()
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    assert (troubles, watcher.death) == (0, None)


def test_links_and_pipes_are_not_followed(tmp_path: Path, inbox: Path, found: Found, watcher: Watcher) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.mp4").write_bytes(b"video")
    (inbox / "file").symlink_to(tmp_path / "outside/secret.mp4")
    (inbox / "folder").symlink_to(tmp_path / "outside")
    os.mkfifo(inbox / "pipe")
    (inbox / "a.mp4").write_bytes(b"video")
    watcher.start()
    wait_for(lambda: bool(found.files))
    time.sleep(3 * SETTLE)
    assert found.names(inbox) == {"a.mp4"}


def test_names_that_are_not_utf8_are_found(inbox: Path, found: Found, watcher: Watcher) -> None:
    watcher.start()
    wait_for(watcher.at_rest)
    path = bytes(inbox) + b"/\xff\xfe.mp4"
    Path(os.fsdecode(path)).write_bytes(b"video")
    wait_for(lambda: list(found.files) == [path])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_death_of_its_thread_is_told(inbox: Path, found: Found) -> None:
    told = threading.Event()

    def broken(_: object) -> None:
        raise RuntimeError("the database is gone")

    found.enqueue = broken  # type: ignore[method-assign]
    watcher = watch(inbox, found, on_death=told.set)
    (inbox / "a.mp4").write_bytes(b"video")
    watcher.start()
    assert told.wait(10)
    assert isinstance(watcher.death, RuntimeError)
    watcher.stop()

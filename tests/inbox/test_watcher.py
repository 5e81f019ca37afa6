import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest
from deep import nested
from watchdog.utils import BaseThread
from watched import SETTLE, Taken, wait_for, watch

from daemon.home.folders import Found
from daemon.home.identity import Identity, identify
from daemon.inbox import events
from daemon.inbox.watcher import Watcher


@pytest.fixture
def found() -> Taken:
    return Taken()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watcher(inbox: Path, found: Taken) -> Iterator[Watcher]:
    watcher = watch(inbox, found)
    yield watcher
    watcher.stop()


def test_files_that_were_there_before_and_in_sub_folders_are_found(
    inbox: Path, found: Taken, watcher: Watcher
) -> None:
    (inbox / "cam1/day 2").mkdir(parents=True)
    for name in ("a.mp4", "cam1/b.mp4", "cam1/day 2/c"):
        (inbox / name).write_bytes(b"video")
    watcher.start()
    wait_for(lambda: found.names(inbox) == {"a.mp4", "cam1/b.mp4", "cam1/day 2/c"})


def test_files_written_moved_in_linked_and_whole_folders_are_noticed(
    tmp_path: Path, inbox: Path, found: Taken, watcher: Watcher
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
    wait_for(
        lambda: (
            found.names(inbox)
            == {"written.mp4", "moved.mp4", "linked.mp4", "folder/deep/inside.mp4"}
        )
    )


def test_a_copy_in_progress_is_left_alone_until_it_is_renamed(
    inbox: Path, found: Taken, watcher: Watcher
) -> None:
    watcher.start()
    (inbox / "a.mp4.part").write_bytes(b"video")
    (inbox / "Thumbs.db").write_bytes(b"litter")
    time.sleep(3 * SETTLE)
    assert found.files == {}
    (inbox / "a.mp4.part").rename(inbox / "a.mp4")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})


def test_a_slow_write_is_handed_on_once_and_whole(
    inbox: Path, found: Taken, watcher: Watcher
) -> None:
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


def test_a_search_finds_files_without_an_event_and_none_twice(inbox: Path, found: Taken) -> None:
    watcher = watch(inbox, found, rescan=2 * SETTLE, polling=True)
    watcher.start()
    wait_for(watcher.at_rest)
    (inbox / "a.mp4").write_bytes(b"video")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    time.sleep(8 * SETTLE)
    watcher.stop()
    assert found.calls == 1


def test_files_that_cannot_be_queued_now_are_queued_later(
    inbox: Path, found: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = 2
    enqueue = found.enqueue

    def locked_at_first(whole: Sequence[Found]) -> None:
        nonlocal troubles
        if troubles:
            troubles -= 1
            raise ConnectionError("database is locked")
        enqueue(whole)

    monkeypatch.setattr(found, "enqueue", locked_at_first)
    watcher = watch(inbox, found)
    (inbox / "a.mp4").write_bytes(b"video")
    watcher.start()
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    watcher.stop()
    assert (troubles, watcher.failure) == (0, None)


def test_links_and_pipes_are_not_followed(
    tmp_path: Path, inbox: Path, found: Taken, watcher: Watcher
) -> None:
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


def test_a_folder_swapped_for_a_link_hands_on_nothing_from_outside(
    tmp_path: Path, inbox: Path, found: Taken, watcher: Watcher
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/a.mp4").write_bytes(b"somebody else's")
    watcher.start()
    wait_for(watcher.at_rest)
    (inbox / "cam").mkdir()
    (inbox / "cam/a.mp4").write_bytes(b"video")
    time.sleep(SETTLE / 3)
    (inbox / "cam").rename(tmp_path / "before")
    (inbox / "cam").symlink_to(tmp_path / "outside")
    (inbox / "b.mp4").write_bytes(b"video")
    wait_for(lambda: bool(found.files))
    time.sleep(3 * SETTLE)
    assert found.names(inbox) == {"b.mp4"}


def test_names_that_are_not_utf8_are_found(inbox: Path, found: Taken, watcher: Watcher) -> None:
    watcher.start()
    wait_for(watcher.at_rest)
    path = bytes(inbox) + b"/\xff\xfe.mp4"
    Path(os.fsdecode(path)).write_bytes(b"video")
    wait_for(lambda: list(found.files) == [path])


@pytest.mark.slow
def test_a_failure_of_its_thread_is_noted_and_it_begins_again(inbox: Path, found: Taken) -> None:
    enqueue = found.enqueue
    failures = [RuntimeError("a bug"), OSError("another")]

    def broken(whole: list[tuple[bytes, Identity]]) -> None:
        if failures:
            raise failures.pop()
        enqueue(whole)

    found.enqueue = broken  # type: ignore[method-assign]
    watcher = watch(inbox, found)
    (inbox / "a.mp4").write_bytes(b"video")
    watcher.start()
    wait_for(lambda: found.names(inbox) == {"a.mp4"}, 20)
    wait_for(lambda: watcher.failure is None)
    assert [text for text in found.noted if "tried again" in text] == [
        "failed (another), and is tried again",
        "failed (a bug), and is tried again",
    ]
    assert found.notes == {}
    watcher.stop()


class_name = attrgetter("__name__")


def watchdog_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if isinstance(thread, BaseThread)]


def search_no_more(watcher: Watcher) -> None:
    watcher._settings = replace(watcher._settings, rescan=float("inf"))
    watcher._next_search = float("inf")


def begin_with_events(watcher: Watcher) -> None:
    watcher.start()
    wait_for(watcher.at_rest)
    assert len(watchdog_threads()) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("kind", ["InotifyFD", "BaseObserver", "InotifyEmitter"])
def test_a_thread_of_events_that_has_ended_is_started_again(
    inbox: Path, found: Taken, kind: str
) -> None:
    watcher = watch(inbox, found, rescan=1)
    begin_with_events(watcher)
    (thread,) = [
        thread for thread in watchdog_threads() if kind in map(class_name, type(thread).__mro__)
    ]
    thread.stop()  # type: ignore[attr-defined]
    thread.join()
    wait_for(lambda: thread not in watchdog_threads() and len(watchdog_threads()) == 3)
    search_no_more(watcher)  # events alone
    (inbox / "a.mp4").write_bytes(b"video")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    watcher.stop()
    assert watchdog_threads() == []


def test_events_go_on_if_another_folder_takes_the_place_of_the_first(
    inbox: Path, found: Taken
) -> None:
    watcher = watch(inbox, found, rescan=1)
    begin_with_events(watcher)
    before = watchdog_threads()
    inbox.rename(inbox.with_name("before"))
    wait_for(lambda: "searching inbox" in found.notes)
    assert "No such file" in found.notes["searching inbox"]
    assert "No such file" in found.notes["events of inbox"]
    inbox.mkdir()
    wait_for(lambda: found.notes == {})
    assert set(before).isdisjoint(watchdog_threads())
    search_no_more(watcher)
    (inbox / "a.mp4").write_bytes(b"video")
    wait_for(lambda: found.names(inbox) == {"a.mp4"})
    watcher.stop()


def test_events_below_a_folder_that_is_a_link_have_the_name_of_the_link(
    tmp_path: Path, found: Taken
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox").symlink_to(tmp_path / "elsewhere")
    watcher = watch(tmp_path / "inbox", found)
    begin_with_events(watcher)
    (tmp_path / "elsewhere/a.mp4").write_bytes(b"video")
    wait_for(lambda: found.names(tmp_path / "inbox") == {"a.mp4"})
    watcher.stop()


@pytest.mark.parametrize("polling", [False, True])
@pytest.mark.parametrize(("name", "depth"), [("d", 1100), ("long" * 50, 30)])
def test_folders_that_one_writer_nests_too_deep_keep_no_others_clip_waiting(
    inbox: Path, found: Taken, name: str, depth: int, polling: bool
) -> None:
    with nested(inbox, name, depth):
        (inbox / name / "not deep.mp4").write_bytes(b"video")
        (inbox / "a.mp4").write_bytes(b"video")
        watcher = watch(inbox, found, rescan=SETTLE, polling=polling)
        watcher.start()
        wait_for(lambda: found.names(inbox) == {"a.mp4", f"{name}/not deep.mp4"})
        wait_for(lambda: "nested too deep" in found.notes.get("searching inbox", ""))
        if not polling:
            search_no_more(watcher)
        (inbox / "b.mp4").write_bytes(b"video")
        wait_for(lambda: "b.mp4" in found.names(inbox))
        assert watcher.failure is None
        assert "watching inbox" not in found.notes
        watcher.stop()


def test_deep_folders_that_arrive_while_it_watches_end_no_events(
    inbox: Path, found: Taken, watcher: Watcher
) -> None:
    begin_with_events(watcher)
    threads = watchdog_threads()
    search_no_more(watcher)
    aside = inbox.with_name("aside")
    aside.mkdir()
    with nested(inbox, "made", 1100), nested(aside, "moved", 1100):
        (aside / "moved").rename(inbox / "moved")
        (inbox / "moved").rename(inbox / "again")
        (inbox / "a.mp4").write_bytes(b"video")
        wait_for(lambda: found.names(inbox) == {"a.mp4"})
        assert watchdog_threads() == threads
        watcher.stop()
        (inbox / "again").rename(aside / "moved")


def test_files_of_a_folder_that_is_moved_within_the_inbox_or_into_it_are_found_by_events(
    tmp_path: Path, inbox: Path, found: Taken, watcher: Watcher
) -> None:
    begin_with_events(watcher)
    search_no_more(watcher)
    for folder in (tmp_path / "from elsewhere/x", inbox / ".hidden/y"):
        folder.mkdir(parents=True)
        (folder / "a.mp4").write_bytes(b"video")
    (tmp_path / "from elsewhere").rename(inbox / "came")
    (inbox / ".hidden").rename(inbox / "shown")
    wait_for(lambda: found.names(inbox) == {"came/x/a.mp4", "shown/y/a.mp4"})
    for folder in ("came/x", "shown/y"):
        (inbox / folder / "later.mp4").write_bytes(b"later")
    wait_for(lambda: {"came/x/later.mp4", "shown/y/later.mp4"} <= found.names(inbox))


def test_a_folder_that_is_moved_while_the_folders_in_it_are_looked_for_is_watched_whole(
    inbox: Path, found: Taken, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = events._Watches._add_callback

    def add_after_the_move(watches: events._Watches, path: bytes) -> None:
        if path == bytes(inbox / "before/x"):
            with suppress(FileNotFoundError):
                (inbox / "before").rename(inbox / "after")
        add(watches, path)

    begin_with_events(watcher)
    search_no_more(watcher)
    monkeypatch.setattr(events._Watches, "_add_callback", add_after_the_move)
    (inbox.with_name("made") / "x").mkdir(parents=True)
    inbox.with_name("made").rename(inbox / "before")
    (inbox / "first.mp4").write_bytes(b"video")
    wait_for(lambda: "first.mp4" in found.names(inbox))
    (inbox / "after/x/later.mp4").write_bytes(b"later")
    wait_for(lambda: "after/x/later.mp4" in found.names(inbox), 10)

"""A queue of the files of archives: what is taken, what is left alone, and what comes again."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from homes import START, MadeHome

from daemon.backfill.archive_queue import ArchiveQueue
from daemon.database.taking import take, to_do
from daemon.home.folders import Found
from daemon.home.identity import identify


class Archive(MadeHome):
    """A home, and files beside it that stay where they are."""

    def file(self, name: str) -> Found:
        path = self.root.parent / "archive" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(name)
        identity = identify(bytes(path))
        assert identity
        return Found(bytes(path), identity, origin=bytes(path.parent), on_filed="leave")

    def archive_queue(self, *batches: list[Found], owner: str = "box:1") -> ArchiveQueue:
        return ArchiveQueue(self.engine, f"backfill:{owner}", iter(batches), self.now)

    def state(self, name: str) -> str:
        return str(self.row(self.root.parent / "archive" / name)["state"])


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Archive]:
    home = Archive(tmp_path / "home")
    yield home
    home.close()


def test_a_file_gets_its_row_only_when_it_comes_into_hand(home: Archive) -> None:
    queue = home.archive_queue([home.file("a"), home.file("b"), home.file("c")])
    assert len(queue.claim(2, home.now)) == 2
    assert [home.state("a"), home.state("b")] == ["claimed", "claimed"]
    assert len(home.rows()) == 2
    assert len(queue.claim(5, home.now)) == 1
    assert queue.claim(5, home.now) == []
    assert queue.is_listed


def test_what_waits_in_the_inbox_is_left_to_the_daemon(home: Archive) -> None:
    home.arrive("own.avi")
    queue = home.archive_queue([home.file("a")])
    assert [bytes(video.path).rpartition(b"/")[2] for video in queue.claim(5, START)] == [b"a"]
    assert home.row(home.inbox / "own.avi")["state"] == "queued"


def test_what_the_daemon_has_in_hand_is_left_to_it_and_what_waits_is_taken(home: Archive) -> None:
    first = home.file("a")
    home.queue.enqueue([first], home.now, background=True)
    assert len(home.queue.claim(1, home.now)) == 1
    home.queue.enqueue([home.file("b")], home.now, background=True)
    queue = home.archive_queue([first, home.file("b")])
    (taken,) = queue.claim(5, home.now)
    assert taken.path == home.file("b").path
    assert queue.n_known == 1


def test_what_failed_before_is_tried_again_once(home: Archive) -> None:
    file = home.file("a")
    queue = home.archive_queue([file])
    (video,) = queue.claim(1, home.now)
    queue.fail(video.id, "no video", None, home.tick())
    assert home.archive_queue([file]).claim(1, home.now) == []  # it began at that moment
    home.tick()
    again = home.archive_queue([file], [file])
    (video,) = again.claim(5, home.now)
    again.fail(video.id, "no video", None, home.now)
    assert again.claim(5, home.now) == []
    assert home.state("a") == "failed"


def test_a_video_that_was_put_back_comes_again_when_it_is_due(home: Archive) -> None:
    queue = home.archive_queue([home.file("a")])
    (video,) = queue.claim(1, home.now)
    queue.count_crash(video.id, "its decoder crashed", home.now)
    assert queue.tend(home.now) == 1
    assert queue.claim(1, home.now) == []
    assert [one.id for one in queue.claim(1, home.now + timedelta(minutes=1))] == [video.id]


@pytest.mark.slow
def test_what_temporary_trouble_prevents_is_left_and_keeps_nothing_waiting(home: Archive) -> None:
    names = [f"{number:04}" for number in range(1200)]
    queue = home.archive_queue([home.file(name) for name in names], [home.file("last")])
    taken = queue.claim(1200, home.now)
    queue.postpone([video.id for video in taken], "the share is away", home.now)
    later = home.now + timedelta(hours=1)
    (last,) = queue.claim(5, later)
    assert last.path == home.file("last").path
    assert (queue.tend(later), queue.n_left) == (1, 1200)
    assert home.state("0000") == "queued"
    (again,) = home.archive_queue([home.file("0000")]).claim(5, later)
    assert again.id == taken[0].id


def test_a_file_that_is_gone_with_its_archive_is_not_waited_for(home: Archive) -> None:
    queue = home.archive_queue([home.file("a")])
    (video,) = queue.claim(1, home.now)
    queue.wait(video.id, home.now + timedelta(seconds=5))
    assert queue.tend(home.now) == 1
    assert len(queue.missing(home.now + timedelta(seconds=5), timedelta(0))) == 1
    assert (queue.tend(home.now + timedelta(seconds=5)), queue.n_left) == (0, 1)


def test_the_claims_of_killed_backfills_are_put_back_wherever_they_ran(home: Archive) -> None:
    files = [home.file("a"), home.file("b"), home.file("c")]
    home.archive_queue([files[0]]).claim(1, home.now)
    home.archive_queue([files[1]], owner="other:7").claim(1, home.now)
    home.queue.enqueue([files[2]], home.now, background=True)
    assert len(home.queue.claim(1, home.now)) == 1
    queue = home.archive_queue(files, owner="box:2")
    assert queue.recover() == 2
    assert [video.path for video in queue.claim(5, home.now)] == [files[0].path, files[1].path]


def test_what_another_process_took_meanwhile_is_not_taken(home: Archive) -> None:
    file = home.file("a")
    with home.engine.begin() as connection:
        assert to_do(connection, [file], home.now) == [file]
    minute = timedelta(minutes=1)
    taken = []
    for owner in ("one", "two"):
        with home.writing() as connection:
            taken += take(connection, [file], owner, home.now, minute, since=home.now)
    assert len(taken) == 1

import math

from hypothesis import given
from hypothesis import strategies as st

from daemon.home.folders import is_left_alone
from daemon.home.identity import Identity
from daemon.inbox.settling import SETTLED_SOON, Tracker

SETTLE = 2.0
PATH = b"/inbox/a.mp4"


class Disk:
    """A disk with one file. `sizes` has its size from each time on; None: there is no file."""

    def __init__(self, sizes: dict[float, int | None]) -> None:
        self.sizes = sizes
        self.now = 0.0
        self.writer: bool | None = False

    def look(self, path: bytes) -> Identity | None:
        latest_first = sorted(self.sizes.items(), reverse=True)
        size = next((size for time, size in latest_first if time <= self.now), None)
        return None if size is None else Identity(1, 1, size, 0)

    def whole_at(self, tracker: Tracker, until: float, step: float = 0.25) -> float | None:
        """When the tracker says that the file is whole; None if it does not by `until`."""
        while self.now <= until:
            if list(tracker.whole(self.now, self.look, lambda path: self.writer)):
                return self.now
            self.now += step
        return None


def test_a_file_at_rest_is_whole_after_the_settle_time() -> None:
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    assert Disk({0: 10}).whole_at(tracker, 10) == SETTLE


def test_the_next_look_is_the_earliest_of_all_tracked_files() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    assert tracker.next_look() == math.inf
    tracker.touch(PATH, 1)
    tracker.touch(b"/inbox/b.mp4", 3)
    assert tracker.next_look() == 1
    list(tracker.whole(1, disk.look, lambda path: False))
    tracker.touch(PATH, 1.5, closed=True)
    assert tracker.next_look() == 1.5
    list(tracker.whole(1.5, disk.look, lambda path: False))
    assert tracker.next_look() == 1.5 + SETTLED_SOON
    list(tracker.whole(3, disk.look, lambda path: False))
    list(tracker.whole(3 + SETTLE, disk.look, lambda path: False))
    assert tracker.next_look() == math.inf


def test_a_slow_write_is_whole_only_after_its_last_change() -> None:
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    assert Disk({0: 1, 1: 2, 2.5: 3, 4: 4}).whole_at(tracker, 20) in (6.0, 8.0)


@given(st.lists(st.floats(0.1, 1.9), min_size=1, max_size=20))
def test_no_file_is_whole_while_its_writer_never_pauses_for_the_settle_time(
    pauses: list[float],
) -> None:
    times = [0.0]
    for pause in pauses:
        times.append(times[-1] + pause)
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    disk = Disk({time: size for size, time in enumerate(times)})
    whole_at = disk.whole_at(tracker, times[-1] + 10)
    assert whole_at is not None
    assert whole_at >= times[-1]
    assert disk.look(PATH) == Identity(1, 1, len(times) - 1, 0)


def test_a_file_held_open_by_its_writer_is_not_whole() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    disk.writer = True
    tracker.touch(PATH, 0)
    assert disk.whole_at(tracker, 10) is None
    disk.writer = False
    assert disk.whole_at(tracker, 20) is not None


def test_deleted_before_stable() -> None:
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    assert Disk({0: 10, 1: None}).whole_at(tracker, 10) is None
    assert tracker.all_still_changing()


def test_touching_again_does_not_begin_the_settle_time_anew() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    tracker.touch(PATH, 0)
    assert disk.whole_at(tracker, 1.5) is None
    tracker.touch(PATH, 1.5)
    assert disk.whole_at(tracker, 10) == SETTLE


def test_a_file_that_its_writer_closed_and_nobody_has_open_is_whole_soon() -> None:
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    disk = Disk({0: 10, 1: 20})
    assert disk.whole_at(tracker, 1) is None
    tracker.touch(PATH, 1, closed=True)
    tracker.touch(PATH, 1)  # a search finds it
    assert disk.whole_at(tracker, 10) == 1 + 0.25 + SETTLED_SOON


def test_a_file_that_is_opened_again_soon_after_it_was_closed_waits_for_the_settle_time() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10, 0.5: 20})
    tracker.touch(PATH, 0, closed=True)
    assert disk.whole_at(tracker, 0, step=0.1) is None
    disk.writer = True
    assert disk.whole_at(tracker, 1.9, step=0.1) is None
    disk.writer = False
    whole_at = disk.whole_at(tracker, 10, step=0.1)
    assert whole_at is not None
    assert whole_at > SETTLE


def test_a_closed_file_waits_for_the_settle_time_if_its_writers_are_not_known() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    disk.writer = None
    tracker.touch(PATH, 0, closed=True)
    assert disk.whole_at(tracker, 10) == SETTLE


def test_a_copy_in_progress_is_no_file_that_may_settle() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 1, 1: 2, 3: 3, 5: 4})
    assert tracker.all_still_changing()
    tracker.touch(PATH, 0)
    assert not tracker.all_still_changing()
    disk.whole_at(tracker, 3)
    assert tracker.all_still_changing()


def test_hidden_partial_and_litter_names_are_left_alone_whatever_their_case() -> None:
    left = [
        b".a.mp4",
        b".sync/a.mp4",
        b"a.mp4.part",
        b"A.MP4.PART",
        b"a.tmp",
        b"x/Thumbs.db",
        b"a.mp4.crdownload",
    ]
    taken = [b"a.mp4", b"a", b"part.mp4", b"tmp/a.mp4", b"a.partly", b"\xff\xfe"]
    assert [name for name in left + taken if is_left_alone(name)] == left

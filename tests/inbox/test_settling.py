import math

from hypothesis import given
from hypothesis import strategies as st

from daemon.home.identity import Identity, Version
from daemon.inbox.settling import SETTLED_SOON, Tracker

SETTLE = 2.0
PATH = b"/inbox/a.mp4"


class Disk:
    """A disk with one file. `sizes` has its size from each time on; None: there is no file."""

    def __init__(self, sizes: dict[float, int | None]) -> None:
        self.sizes = sizes
        self.now = 0.0
        self.writer: bool | None = False
        self.ctime_ns = 0

    def look(self, path: bytes) -> Version | None:
        latest_first = sorted(self.sizes.items(), reverse=True)
        size = next((size for time, size in latest_first if time <= self.now), None)
        return None if size is None else Version(Identity(1, 1, size, 0), self.ctime_ns)

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
    tracker.touch(PATH, 1.5, "renamed")
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
    assert disk.look(PATH) == Version(Identity(1, 1, len(times) - 1, 0), 0)


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


def test_a_file_that_its_writer_renamed_and_nobody_has_open_is_whole_soon() -> None:
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0)
    disk = Disk({0: 10, 1: 20})
    assert disk.whole_at(tracker, 1) is None
    tracker.touch(PATH, 1, "renamed")
    tracker.touch(PATH, 1)  # a search finds it
    assert disk.whole_at(tracker, 10) == 1 + 0.25 + SETTLED_SOON


def test_a_file_that_is_opened_again_soon_after_it_was_renamed_waits_for_the_settle_time() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10, 0.5: 20})
    tracker.touch(PATH, 0, "renamed")
    assert disk.whole_at(tracker, 0, step=0.1) is None
    disk.writer = True
    assert disk.whole_at(tracker, 1.9, step=0.1) is None
    disk.writer = False
    whole_at = disk.whole_at(tracker, 10, step=0.1)
    assert whole_at is not None
    assert whole_at > SETTLE


def test_a_renamed_file_waits_for_the_settle_time_if_its_writers_are_not_known() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    disk.writer = None
    tracker.touch(PATH, 0, "renamed")
    assert disk.whole_at(tracker, 10) == SETTLE


def test_a_copy_in_progress_is_no_file_that_may_settle() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 1, 1: 2, 3: 3, 5: 4})
    assert tracker.all_still_changing()
    tracker.touch(PATH, 0)
    assert not tracker.all_still_changing()
    disk.whole_at(tracker, 3)
    assert tracker.all_still_changing()


def test_a_file_that_its_writer_only_closed_waits_for_the_settle_time_as_it_may_be_renamed() -> (
    None
):
    tracker = Tracker(SETTLE)
    tracker.touch(PATH, 0, "closed")
    assert Disk({0: 10}).whole_at(tracker, 10) == SETTLE


def test_a_file_that_was_closed_and_has_an_earlier_date_is_a_finished_copy() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    disk.ctime_ns = 10**10
    tracker.touch(PATH, 0, "closed")
    assert disk.whole_at(tracker, 10) == SETTLED_SOON


def test_a_file_of_which_more_is_to_come_is_looked_at_again_until_that_is_gone() -> None:
    tracker, disk = Tracker(SETTLE), Disk({0: 10})
    more = True
    tracker.touch(PATH, 0, "renamed")
    for now in range(0, 20, 2):
        none = tracker.whole(now, disk.look, lambda path: False, lambda path, identity: more)
        assert list(none) == []
    assert tracker.all_still_changing()
    more = False
    whole = tracker.whole(20, disk.look, lambda path: False, lambda path, identity: more)
    assert [path for path, _ in whole] == [PATH]

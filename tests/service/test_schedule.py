import threading
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from daemon.home.clock import now
from daemon.service import schedule as module
from daemon.service.schedule import Schedule

WEEK = timedelta(days=7)


@pytest.fixture
def schedule() -> Iterator[Schedule]:
    schedule = Schedule()
    yield schedule
    schedule.stop()


def test_a_job_runs_again_and_again_even_if_it_fails(schedule: Schedule) -> None:
    runs = threading.Semaphore(0)

    def job() -> None:
        runs.release()
        raise RuntimeError("a bug")

    schedule.every(timedelta(seconds=0.05), job, subject="a job")
    schedule.start()
    for _ in range(3):
        assert runs.acquire(timeout=60)


def test_jobs_run_at_once_if_the_clock_was_set_back(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = threading.Event()
    clock = time.time
    monkeypatch.setattr(module.time, "time", lambda: clock() + WEEK.total_seconds())
    schedule.tend()
    schedule.every(timedelta(hours=1), ran.set, subject="a job", first=now() + WEEK)
    schedule.start()
    schedule.tend()
    assert not ran.wait(0.5)
    monkeypatch.undo()
    schedule.tend()
    assert ran.wait(60)
    ran.clear()
    schedule.tend()
    assert not ran.wait(0.5)


class Notices(dict[str, str | None]):
    """The notices that are shown, by subject."""

    def wait_for(self, subject: str, text: str | None) -> str | None:
        """Wait until the notice has this text in it, or is gone."""
        deadline = time.monotonic() + 60
        while True:
            shown = self.get(subject)
            if (text is None and shown is None) or (text and shown and text in shown):
                return shown
            assert time.monotonic() < deadline, self
            time.sleep(0.01)


def noting() -> tuple[Schedule, Notices]:
    notices = Notices()
    return Schedule(notices.__setitem__), notices


def test_a_job_that_fails_is_shown_until_it_has_run_well_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schedule, notices = noting()
    is_wrong = threading.Event()
    is_wrong.set()
    runs = threading.Semaphore(0)

    def job() -> None:
        runs.release()
        if is_wrong.is_set():
            raise OSError(5, "Input/output error")

    schedule.every(timedelta(seconds=0.05), job, subject="making backups")
    schedule.start()
    try:
        shown = notices.wait_for("making backups", "OSError: [Errno 5] Input/output error")
        assert shown
        assert "is tried again" in shown
        for _ in range(5):
            assert runs.acquire(timeout=60)
        tracebacks = [record for record in caplog.records if record.exc_info]
        assert len(tracebacks) == 1  # not one for each run
        is_wrong.clear()
        notices.wait_for("making backups", None)
    finally:
        schedule.stop()


def test_a_job_that_could_not_run_now_is_no_failure_and_ends_no_notice() -> None:
    schedule, notices = noting()
    errors: list[Exception] = [ValueError("a bug"), *[module.NotNowError() for _ in range(3)]]
    done = threading.Event()

    def job() -> None:
        if not errors:
            done.set()
            time.sleep(60)
        raise errors.pop(0)

    schedule.every(timedelta(seconds=0.05), job, subject="a job")
    schedule.start()
    assert done.wait(60)
    assert notices["a job"] == "failed (ValueError: a bug), and is tried again"
    schedule._scheduler.shutdown(wait=False)


def test_a_job_that_does_not_end_and_one_that_does_not_run_are_shown() -> None:
    schedule, notices = noting()
    go_on = threading.Event()
    short = timedelta(seconds=0.2)
    schedule.every(
        timedelta(seconds=0.05), lambda: bool(go_on.wait(60)) and None, subject="one", longest=short
    )
    schedule.every(timedelta(seconds=0.05), lambda: None, subject="other", longest=short)
    schedule.start()
    try:
        schedule.tend()
        assert not notices.get("one")
        time.sleep(0.5)
        schedule.tend()
        assert "has been at work for more than" in (notices["one"] or "")
        assert not notices.get("other")
        go_on.set()
        notices.wait_for("one", None)
        schedule._scheduler.pause()  # as if its thread had died
        time.sleep(0.5)
        schedule.tend()
        assert "has not run for more than" in (notices["other"] or "")
        schedule._scheduler.resume()
        notices.wait_for("other", None)
    finally:
        schedule.stop()

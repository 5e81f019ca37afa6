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

    schedule.every(timedelta(seconds=0.05), job)
    schedule.start()
    for _ in range(3):
        assert runs.acquire(timeout=60)


def test_jobs_run_at_once_if_the_clock_was_set_back(
    schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = threading.Event()
    clock = time.time
    monkeypatch.setattr(module.time, "time", lambda: clock() + WEEK.total_seconds())
    schedule.follow_the_clock()
    schedule.every(timedelta(hours=1), ran.set, first=now() + WEEK)
    schedule.start()
    schedule.follow_the_clock()
    assert not ran.wait(0.5)
    monkeypatch.undo()
    schedule.follow_the_clock()
    assert ran.wait(60)
    ran.clear()
    schedule.follow_the_clock()
    assert not ran.wait(0.5)

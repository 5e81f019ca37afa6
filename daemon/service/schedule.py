"""Runs jobs at intervals: APScheduler, in UTC. Jobs also run after the clock was set back."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from daemon.home.clock import now

log = logging.getLogger(__name__)

JUMP = 30.0  # seconds; a clock that is set back by less is ignored
LONGEST_END = 4.0  # seconds that `stop` waits for jobs


class Schedule:
    """Runs jobs in threads of its own.

    A job never runs twice at the same time. If runs of it were missed, it runs once for all of
    them.
    """

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._ahead = time.time() - time.monotonic()
        self._at_work = 0  # jobs that run now
        self._changed = threading.Condition()

    def every(
        self, interval: timedelta, job: Callable[[], None], *, first: datetime | None = None
    ) -> None:
        """Call `job` once in each interval: first after one interval, or at `first`."""
        start = {"next_run_time": first} if first else {}
        self._scheduler.add_job(
            self._run, "interval", (job,), seconds=interval.total_seconds(), **start
        )

    def start(self) -> None:
        """Begin to run jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """End, after the jobs that run now have ended, but wait for them for some seconds only."""
        self._scheduler.shutdown(wait=False)
        with self._changed:
            if not self._changed.wait_for(lambda: not self._at_work, LONGEST_END):
                log.warning("jobs go on while the daemon ends: %d", self._at_work)

    def _run(self, job: Callable[[], None]) -> None:
        with self._changed:
            self._at_work += 1
        try:
            job()
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def follow_the_clock(self) -> None:
        """If the clock was set back, run all jobs now.

        Else they would sleep until the clock shows the old time again.
        """
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - JUMP:
            log.warning("the clock was set back by %.0f seconds", self._ahead - ahead)
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=now())
        self._ahead = ahead

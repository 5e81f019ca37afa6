"""Runs jobs at intervals: APScheduler, in UTC. Jobs also run after the clock was set back."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from daemon.home.clock import now

log = logging.getLogger(__name__)

JUMP = 30.0  # seconds; a clock that is set back by less is ignored


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

    def every(
        self, interval: timedelta, job: Callable[[], None], *, first: datetime | None = None
    ) -> None:
        """Call `job` once in each interval: first after one interval, or at `first`."""
        start = {"next_run_time": first} if first else {}
        self._scheduler.add_job(job, "interval", seconds=interval.total_seconds(), **start)

    def start(self) -> None:
        """Begin to run jobs."""
        self._scheduler.start()

    def stop(self) -> None:
        """End, after the jobs that run now have ended."""
        self._scheduler.shutdown()

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

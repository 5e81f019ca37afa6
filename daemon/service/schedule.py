"""What is done now and then: APScheduler, in UTC, and what a clock that is set back would do to it."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from daemon.home.clock import now

log = logging.getLogger(__name__)

JUMP = 30.0  # seconds that the clock may be set back before anybody cares


class Schedule:
    """Jobs in a thread of their own, one at a time of each; what was missed is made up for once."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._ahead = time.time() - time.monotonic()

    def every(
        self, interval: timedelta, job: Callable[[], None], *, first: datetime | None = None
    ) -> None:
        """Call `job` so often, for the first time after one interval or at `first`."""
        when = {"next_run_time": first} if first else {}
        self._scheduler.add_job(job, "interval", seconds=interval.total_seconds(), **when)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """End, when the jobs that run now have ended."""
        self._scheduler.shutdown()

    def follow_the_clock(self) -> None:
        """Where the clock was set back, jobs would sleep until it has caught up: have them run now."""
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - JUMP:
            log.warning("the clock was set back by %.0f seconds", self._ahead - ahead)
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=now())
        self._ahead = ahead

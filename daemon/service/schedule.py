"""Runs jobs at intervals: APScheduler, in UTC. Jobs also run after the clock was set back.

A job that fails, does not end, or does not run any more is shown as a notice, until it has run
well again.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from daemon.database.connection import first_line
from daemon.home.clock import machine_time, now
from learner.errors import VidwatchError
from learner.texts import counted

log = logging.getLogger(__name__)

JUMP = 30.0  # seconds; a clock that is set back by less is ignored
LONGEST_END = 4.0  # seconds that `stop` waits for jobs
# A job that takes longer, or that is so late, is shown. A locked database holds one up for half a
# minute for each thing that it writes.
LONGEST_RUN = timedelta(minutes=10)

Note = Callable[[str, str | None], None]


class NotNowError(Exception):
    """A job could not be done now, for a reason that is shown elsewhere. It is no failure."""


@dataclass
class _Job:
    """A job, and how its runs went. The times are of the monotonic clock."""

    subject: str
    work: Callable[[], None]
    longest: float
    """After so many seconds, a run counts as stuck."""
    latest_start: float
    """So many seconds after a run, the next one is late."""
    ended: float
    """When its last run ended; when the schedule began before the first one."""
    began: float | None = None
    """When the run that is under way began; None if there is none."""
    failure: str | None = None
    """Why the last run failed; None if it did not."""


class Schedule:
    """Runs jobs in threads of its own.

    A job never runs twice at the same time. If runs of it were missed, it runs once for all of
    them.
    """

    def __init__(
        self,
        note: Note = lambda subject, text: None,
        may_run: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make it; nothing runs yet.

        Args:
            note: Shows a notice under a subject, or takes it back (None).
            may_run: Asked before each run of a job; without it, the job is left out.
        """
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._note = note
        self._may_run = may_run
        self._ahead = time.time() - time.monotonic()
        self._jobs: list[_Job] = []
        self._at_work = 0  # jobs that run now
        self._changed = threading.Condition()

    def every(
        self,
        interval: timedelta,
        work: Callable[[], None],
        *,
        subject: str,
        longest: timedelta = LONGEST_RUN,
        first: datetime | None = None,
    ) -> None:
        """Do the job once in each interval: first after one interval, or at `first`.

        Args:
            interval: The time from one run to the next.
            work: Does the job. If it raises, that is shown, and the next run tries it again.
            subject: What the notice is about, for people.
            longest: A run that takes longer is shown.
            first: When the first run begins.
        """
        seconds = interval.total_seconds()
        latest_start = seconds + longest.total_seconds()
        if first:
            latest_start += max((first - now()).total_seconds(), 0)
        job = _Job(subject, work, longest.total_seconds(), latest_start, time.monotonic())
        self._jobs.append(job)
        # APScheduler has the clock of this machine.
        start = {"next_run_time": first + (machine_time() - now())} if first else {}
        self._scheduler.add_job(self._run, "interval", (job,), seconds=seconds, **start)

    def start(self) -> None:
        """Begin to run jobs."""
        for job in self._jobs:
            job.ended = time.monotonic()
        self._scheduler.start()

    def stop(self) -> None:
        """End, after the jobs that run now have ended, but wait for them for some seconds only."""
        self._scheduler.shutdown(wait=False)
        with self._changed:
            if not self._changed.wait_for(lambda: not self._at_work, LONGEST_END):
                log.warning("jobs go on while the daemon ends: %d", self._at_work)

    def _run(self, job: _Job) -> None:
        with self._changed:
            self._at_work += 1
            job.began = time.monotonic()
        try:
            if self._may_run():
                job.work()
                self._note_failure(job, None)
        except NotNowError:
            pass
        except Exception as error:
            self._note_failure(job, error)
        finally:
            with self._changed:
                self._at_work -= 1
                job.began = None
                job.ended = time.monotonic()
                self._changed.notify_all()

    def _note_failure(self, job: _Job, error: Exception | None) -> None:
        reason = None if error is None else first_line(error)
        if error and reason != job.failure and not isinstance(error, VidwatchError):
            # Once: some jobs are done twice a second.
            log.exception("%s: failed", job.subject, exc_info=error)
        job.failure = reason
        self._note(job.subject, reason and f"failed ({reason}), and is tried again")

    def tend(self) -> None:
        """Follow the clock, and show which jobs do not end, or do not run any more.

        Called by another thread, again and again.
        """
        self._follow_the_clock()
        for job in self._jobs:
            if late := self._why_late(job, time.monotonic()):
                self._note(job.subject, late)

    def _why_late(self, job: _Job, at: float) -> str | None:
        with self._changed:
            began = job.began
            ended = job.ended
        if began is not None and at - began > job.longest:
            return _for_long("has been at work for", at - began)
        if began is None and at - ended > job.latest_start:
            return _for_long("has not run for", at - ended)
        return None

    def _follow_the_clock(self) -> None:
        """If the clock was set back, run all jobs now.

        Else they would sleep until the clock shows the old time again.
        """
        ahead = time.time() - time.monotonic()
        if ahead < self._ahead - JUMP:
            log.warning("the clock was set back by %.0f seconds", self._ahead - ahead)
            for job in self._scheduler.get_jobs():
                job.modify(next_run_time=machine_time())
        self._ahead = ahead


def _for_long(what: str, seconds: float) -> str:
    """What is shown of a job that is late. The text stays the same for a while: each is logged."""
    length = counted(int(seconds // 3600), "hour")
    if seconds < 3600:
        length = counted(int(seconds // 600 * 10), "minute")
    if seconds < 600:
        length = counted(int(seconds), "second")
    return f"{what} more than {length}; if that does not end, restart the daemon"

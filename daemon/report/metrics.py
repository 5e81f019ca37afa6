"""The state of a home as metrics for Prometheus, by queries that only read."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from daemon.database.connection import opened
from daemon.database.tables import STATES, videos
from daemon.home.folder import Home
from daemon.home.stages import spent
from daemon.report.status import Status, read_status
from learner.errors import VidwatchError

KEPT = 5.0  # seconds for which what was read counts: several servers may ask
FOLDERS = ("inbox", "classified", "trash")


@dataclass(frozen=True)
class Worker:
    """What the daemon says of itself."""

    device: str
    decoders: int
    since: datetime
    """When it started."""


class HomeMetrics(Collector):
    """Reads the home whenever a server asks, but not more often than every few seconds."""

    def __init__(self, home: Home, worker: Worker, now: Callable[[], datetime]) -> None:
        self._home = home
        self._worker = worker
        self._now = now
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._metrics: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        """Nothing: the home is not read before a server asks."""
        return ()

    def collect(self) -> list[Metric]:
        """All metrics. If the database cannot be read now, those that need none."""
        with self._reading:
            if time.monotonic() >= self._read_at + KEPT:
                self._metrics = [*self._of_process(), *self._of_database()]
                self._read_at = time.monotonic()
            return self._metrics

    def _of_process(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "vidwatch_info",
            "Always 1: the version, and the device that the model runs on.",
            labels=["version", "device"],
        )
        info.add_metric([version("vidwatch"), self._worker.device], 1)
        yield info
        text = "When the daemon started, in seconds since 1970."
        yield _gauge("vidwatch_start_time_seconds", text, self._worker.since.timestamp())
        text = "How many processes decode videos, at most."
        yield _gauge("vidwatch_decoders", text, self._worker.decoders)
        stages = SummaryMetricFamily(
            "vidwatch_stage_seconds",
            "The time in each stage: of files decoded, of batches predicted, recorded and filed.",
            labels=["stage"],
        )
        for stage, of_stage in sorted(spent().items()):
            stages.add_metric([stage], of_stage.times, of_stage.seconds)
        yield stages
        free = GaugeMetricFamily(
            "vidwatch_disk_free_bytes",
            "How much the daemon may still write to the disk of a folder.",
            labels=["folder"],
        )
        for folder in FOLDERS:
            with suppress(OSError):
                info_of_disk = os.statvfs(self._home.root / folder)
                free.add_metric([folder], info_of_disk.f_bavail * info_of_disk.f_frsize)
        yield free

    def _of_database(self) -> list[Metric]:
        text = "Whether the database could be read just now."
        try:
            status = read_status(self._home, self._now())
            with (
                opened(self._home.database, read_only=True) as engine,
                engine.begin() as connection,
            ):
                finished = _finished(connection, self._worker.since)
        except VidwatchError:
            return [_gauge("vidwatch_database_readable", text, 0)]
        readable = _gauge("vidwatch_database_readable", text, 1)
        return [readable, finished, *_of_status(status)]


def _of_status(status: Status) -> Iterator[Metric]:
    by_state = GaugeMetricFamily(
        "vidwatch_videos", "How many videos are in each state.", labels=["state"]
    )
    for state in STATES:
        by_state.add_metric([state], status.counts[state])
    yield by_state
    text = "How many videos are decoded, predicted or moved just now."
    yield _gauge("vidwatch_in_hand", text, status.counts["in_hand"])
    is_paused = status.pause is not None or bool(status.running and status.running.closed_until)
    text = "Whether no new clip begins: paused, or outside of the working hours."
    yield _gauge("vidwatch_paused", text, is_paused)
    notices = GaugeMetricFamily(
        "vidwatch_notice", "Always 1: something that 'vidwatch status' shows.", labels=["subject"]
    )
    for subject in status.running.notices if status.running else ():
        notices.add_metric([subject], 1)
    yield notices
    text = "How many videos are in trouble, and are tried again by themselves (10 at most)."
    yield _gauge("vidwatch_troubled", text, len(status.troubled))
    yield _gauge("vidwatch_trash_files", "How many files are in the trash.", status.trash.files)
    yield _gauge("vidwatch_trash_bytes", "How large they are.", status.trash.bytes)
    quality = status.quality
    text = "Unsure predictions of the last 7 days, and all of them."
    unsure = GaugeMetricFamily("vidwatch_recent_predictions", text, labels=["kind"])
    unsure.add_metric(["unsure"], quality.unsure)
    unsure.add_metric(["all"], quality.counted)
    yield unsure
    if quality.live and quality.live.n:
        text = "The share of the reviewed clips of the random share on which the model is right."
        yield _gauge("vidwatch_live_accuracy_ratio", text, quality.live.right / quality.live.n)
        text = "How many clips these are."
        yield _gauge("vidwatch_live_accuracy_clips", text, quality.live.n)
    text = "How many things show that clips or predictions have changed (drift)."
    yield _gauge("vidwatch_drift_warnings", text, len(quality.drift))


def _finished(connection: Connection, since: datetime) -> CounterMetricFamily:
    """What became of the videos that were finished since the daemon started."""
    of_state = (
        select(videos.c.state, videos.c.duplicate_of.is_not(None).label("is_copy"), func.count())
        .where(videos.c.finished_at >= since)
        .group_by(videos.c.state, "is_copy")
    )
    counts = {"filed": 0, "failed": 0, "duplicate": 0}
    for state, is_copy, n in connection.execute(of_state):
        if is_copy:
            counts["duplicate"] += n
        elif state in counts:
            counts[state] += n
    family = CounterMetricFamily(
        "vidwatch_clips",
        "What became of the videos that were finished since the daemon started.",
        labels=["outcome"],
    )
    for outcome, n in counts.items():
        family.add_metric([outcome], n)
    return family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))

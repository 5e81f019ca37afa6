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
from daemon.home.folders import Folders
from daemon.home.pause import read_pause
from daemon.home.stages import outcomes, spent
from daemon.report.accuracy import Quality, quality
from daemon.report.counts import counts
from daemon.report.model_in_use import first_model
from daemon.report.receivers import ReceiverStatus, read_receivers
from daemon.report.trash import trash_content
from daemon.training.decisions import Decisions
from learner.catalogue import model_name
from learner.errors import VidwatchError

KEPT = 5.0  # seconds for which what was read counts: several servers may ask
# Seconds for which accuracy and drift count: they change slowly, and of a million videos they take
# half a second.
QUALITY_KEPT = 60.0
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
        self._quality: Quality
        self._quality_read_at = float("-inf")

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
        clips = CounterMetricFamily(
            "vidwatch_clips",
            "What became of the videos that were read since the daemon started.",
            labels=["outcome"],
        )
        for outcome, n in outcomes().items():
            clips.add_metric([outcome], n)
        yield clips
        yield from self._of_daemon()

    def _of_daemon(self) -> Iterator[Metric]:
        now = self._now()
        running = self._home.running()
        is_closed = running is not None and running.closed_until is not None
        is_paused = is_closed or read_pause(self._home.pause, now) is not None
        text = "Whether no new clip begins: paused, or outside of the working hours."
        yield _gauge("vidwatch_paused", text, is_paused)
        notices = GaugeMetricFamily(
            "vidwatch_notice",
            "Always 1: something that 'vidwatch status' shows.",
            labels=["subject"],
        )
        for subject in running.notices if running else ():
            notices.add_metric([subject], 1)
        yield notices

    def _of_database(self) -> list[Metric]:
        text = "Whether the database could be read just now."
        try:
            # Whoever asks waits for some seconds at most, and asks again.
            with opened(self._home.database, read_only=True, patience=KEPT) as engine:
                champion = Decisions(engine).champion()
                with engine.begin() as connection:
                    first = None if champion else first_model(connection, self._home)
                    model = model_name(champion) if champion else first
                    of_home = [*_of_videos(connection, self._home)]
                    of_home += _of_receivers(read_receivers(connection))
                    of_home += _of_quality(self._quality_of(connection, model))
        except VidwatchError:
            return [_gauge("vidwatch_database_readable", text, 0)]
        return [_gauge("vidwatch_database_readable", text, 1), *of_home]

    def _quality_of(self, connection: Connection, model: str | None) -> Quality:
        if time.monotonic() >= self._quality_read_at + QUALITY_KEPT:
            folders = Folders(self._home.root)
            self._quality = quality(connection, folders, model, self._now())
            self._quality_read_at = time.monotonic()
        return self._quality


def _of_videos(connection: Connection, home: Home) -> Iterator[Metric]:
    count = counts(connection)
    by_state = GaugeMetricFamily(
        "vidwatch_videos",
        "How many videos are in each state, but for failures that a person has forgotten.",
        labels=["state"],
    )
    for state in STATES:
        by_state.add_metric([state], count[state])
    yield by_state
    text = "How many videos are decoded, predicted or moved just now."
    yield _gauge("vidwatch_in_hand", text, count["in_hand"])
    troubled = select(func.count()).where(videos.c.trouble.is_not(None))
    text = "How many videos are in trouble, and are tried again by themselves."
    yield _gauge("vidwatch_troubled", text, connection.scalar(troubled) or 0)
    trash = trash_content(connection, home)
    yield _gauge("vidwatch_trash_files", "How many files are in the trash.", trash.files)
    yield _gauge("vidwatch_trash_bytes", "How large they are.", trash.bytes)


def _of_receivers(receivers: Iterable[ReceiverStatus]) -> Iterator[Metric]:
    families = [
        GaugeMetricFamily(f"vidwatch_receiver_{name}", text, labels=["receiver"])
        for name, text in (
            ("waiting", "How many events wait to be sent to a receiver."),
            ("failing", "Whether a receiver could not be reached at the last try."),
            ("given_up", "How many events were never sent to a receiver."),
        )
    ]
    for receiver in receivers:
        values = (receiver.waiting, receiver.failure is not None, receiver.given_up)
        for family, value in zip(families, values, strict=True):
            family.add_metric([receiver.name], float(value))
    yield from families


def _of_quality(found: Quality) -> Iterator[Metric]:
    text = "Unsure predictions of the last 7 days, and all of them."
    unsure = GaugeMetricFamily("vidwatch_recent_predictions", text, labels=["kind"])
    unsure.add_metric(["unsure"], found.unsure)
    unsure.add_metric(["all"], found.counted)
    yield unsure
    if found.live and found.live.n:
        text = "The share of the reviewed clips of the random share on which the model is right."
        yield _gauge("vidwatch_live_accuracy_ratio", text, found.live.right / found.live.n)
        text = "How many clips these are."
        yield _gauge("vidwatch_live_accuracy_clips", text, found.live.n)
    text = "How many things show that clips or predictions have changed (drift)."
    yield _gauge("vidwatch_drift_warnings", text, len(found.drift))


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))

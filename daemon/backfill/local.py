"""Classifies archives on this machine, by the parts of the daemon."""

import time
from collections.abc import Callable
from datetime import timedelta

from daemon.backfill.archive_queue import ArchiveQueue
from daemon.backfill.place import Place
from daemon.classify.champion import ChampionLoader
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.training.decisions import Decisions

IDLE = 0.2  # seconds
TENDING = 60.0  # seconds between two renewals of the leases
MANY = 5000  # videos that are not known to be done
TRIMMING = 600.0  # seconds between two looks at the size of the cache
Asked = Callable[[], bool]


def classify_here(
    home: Home,
    model: str,
    place: Place,
    queue: ArchiveQueue,
    stopped: Asked,
    progress: Callable[[], None],
) -> None:
    """Classify what a queue gives, until it has no more or `stopped` says so.

    Args:
        home: The home that has the model.
        model: Its name.
        place: Where results go.
        queue: The files.
        stopped: Whether to end. What is in hand is put back.
        progress: Called several times a second.

    Raises:
        VidwatchError: the model cannot be used.
    """
    loader = ChampionLoader(home, place.settings, place.predictions, Decisions(place.engine))
    try:
        predictor = loader.alone(model, now())
        settings = _pipeline_settings(place.settings, stopped, progress)
        pipeline = Pipeline(queue, place.predictions, predictor, place.folders, settings)
        _work(pipeline, queue, place, stopped, progress, loader.cache.trim)
    finally:
        loader.close()


def _pipeline_settings(
    settings: Settings, stopped: Asked, progress: Callable[[], None]
) -> PipelineSettings:
    return PipelineSettings(
        batch_size=settings.batch_size,
        grace=settings.grace,
        # Nothing arrives in an archive: a file that is cut short stays so.
        patience=timedelta(0),
        inbox_is_there=lambda: False,
        may_begin=lambda: not stopped(),
        progress=progress,
    )


def _work(
    pipeline: Pipeline,
    queue: ArchiveQueue,
    place: Place,
    stopped: Asked,
    progress: Callable[[], None],
    trim: Callable[[], None],
) -> None:
    tended = trimmed = time.monotonic()
    while not stopped():
        worked = pipeline.step(now())
        progress()
        place.parts.write(is_last=False)
        if time.monotonic() - tended > TENDING or queue.n_open > MANY:
            queue.renew_leases(now())
            pipeline.settle_missing(now())
            queue.tend(now())
            tended = time.monotonic()
        if time.monotonic() - trimmed > TRIMMING:
            trim()
            trimmed = time.monotonic()
        if worked:
            continue
        pipeline.settle_missing(now())
        if not queue.tend(now()) and queue.is_listed:
            break
        time.sleep(IDLE)
    pipeline.release()
    queue.tend(now())
    trim()

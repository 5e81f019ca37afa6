"""The pipelines of several models, side by side: the champion's, and those of sources."""

from collections.abc import Sequence
from datetime import datetime

from daemon.classify.pipeline import Pipeline
from daemon.classify.predictor import Predictor


class Pipelines:
    """One pipeline for each model. They take turns, each with its own videos of one queue."""

    def __init__(self, champion: Pipeline, of_sources: Sequence[Pipeline]) -> None:
        self._champion = champion
        self._all = (champion, *of_sources)

    def step(self, now: datetime) -> bool:
        """A round of each; False if there was nothing to do."""
        worked = [pipeline.step(now) for pipeline in self._all]
        return any(worked)

    def use(self, predictor: Predictor) -> None:
        """Let another model be the champion."""
        self._champion.use(predictor)

    def file(self, now: datetime) -> None:
        """Record what the device has, and move predicted videos to where they belong."""
        for pipeline in self._all:
            pipeline.file(now)

    def settle_missing(self, now: datetime) -> None:
        """Give up the files that stayed away for their whole grace."""
        self._champion.settle_missing(now)

    def release(self) -> None:
        """Put what is in hand back into the queue."""
        for pipeline in self._all:
            pipeline.release()

    def start_over(self) -> None:
        """A change of state could not be written: drop all work; the next step queues it again."""
        for pipeline in self._all:
            pipeline.forget()
        self._champion.start_over()

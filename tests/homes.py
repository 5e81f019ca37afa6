"""A queue with its predictions, and predictions in few words."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.records import ModelPrediction, VideoPrediction
from daemon.home.folders import Folders


class Store(Queue):
    """The queue and the predictions of one home."""

    def __init__(self, engine: Engine, owner: str, sampled: float = 0.0) -> None:
        super().__init__(engine, owner)
        self.predictions = Predictions(engine, sampled)
        self.register_model = self.predictions.register_model

    def record(
        self, found: Sequence[VideoPrediction], model: int, folders: Folders, now: datetime
    ) -> Any:
        return self.predictions.record([by_model(one, model) for one in found], folders, now)


def by_model(found: VideoPrediction, model: int) -> VideoPrediction:
    return replace(found, prediction=replace(found.prediction, model_id=model))


def predicted(
    video: int,
    path: bytes,
    sha256: str,
    class_name: str,
    index: int,
    probability: float,
    logits: list[float],
    asked: int,
    read: int,
    decoder: str,
    unsure: str | None = None,
    **more: Any,
) -> VideoPrediction:
    prediction = ModelPrediction(0, class_name, index, probability, logits)
    known = (video, path, sha256, prediction, asked, read, decoder, unsure)
    return VideoPrediction(*known, **more)

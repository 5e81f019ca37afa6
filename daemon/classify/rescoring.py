"""A later model's predictions for earlier videos: beside the first ones, and no file is moved."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, and_, exists, select

from daemon.database.predictions import Predictions
from daemon.database.records import ModelPrediction
from daemon.database.tables import predictions, that_counts, videos
from daemon.home import settings
from daemon.home.folder import Home
from daemon.training.decisions import Decisions
from learner.cache import Cache
from learner.classifier import Classifier, Prediction
from learner.dataset import LabelledClip, extract
from learner.errors import VidwatchError

BATCH = 64


@dataclass(frozen=True)
class Rescored:
    """How many videos the model predicted, gave another class, and could not read."""

    model: str
    scored: int
    other: int
    gone: int


def rescore(
    home: Home,
    engine: Engine,
    name: str | None,
    cache: Cache,
    now: datetime,
    progress: Callable[[int, int], None],
    device: str | None = None,
) -> Rescored:
    """Have a model predict all videos that it has not predicted yet.

    Args:
        home: The home.
        engine: Its database.
        name: The model; the champion if None.
        cache: Where features of the clips lie.
        now: When the predictions are made.
        progress: Called with how many videos are done, and of how many.
        device: Where the model runs; the setting `device` if None.

    Raises:
        VidwatchError: no such model.
    """
    name = name or Decisions(engine).champion()
    if name is None:
        raise VidwatchError("there is no champion yet; start the daemon first")
    loaded = settings.load(home.settings)
    model = Classifier.load(home.model_or_starter(name), device or loaded.device, loaded.reading)
    recorded = Predictions(engine)
    model_id = recorded.register_model(
        model.name, model.digest, model.classes, model.manifest.measured, now
    )
    left = _not_predicted_by(engine, model_id)
    scored = 0
    other = 0
    for first in range(0, len(left), BATCH):
        rows = left[first : first + BATCH]
        new = _predict(rows, model, cache)
        later = {video: _model_prediction(model_id, found) for video, found in new.items()}
        recorded.rescore(later, now)
        scored += len(new)
        other += sum(row.id in new and new[row.id].class_name != row.predicted for row in rows)
        progress(first + len(rows), len(left))
    return Rescored(model.name, scored, other, len(left) - scored)


def _not_predicted_by(engine: Engine, model_id: int) -> Sequence[Any]:
    by_model = predictions.alias()
    of_video = by_model.c.video_id == videos.c.id
    is_predicted = exists().where(of_video, by_model.c.model_id == model_id)
    first = and_(predictions.c.video_id == videos.c.id, that_counts())
    predicted = predictions.c["class"].label("predicted")
    query = select(videos.c.id, videos.c.path, videos.c.sha256, predicted)
    query = query.join(predictions, first).where(~is_predicted).order_by(videos.c.id)
    with engine.begin() as connection:
        return connection.execute(query).all()


def _predict(rows: Sequence[Any], model: Classifier, cache: Cache) -> dict[int, Prediction]:
    """The predictions by video, without those whose features and files are both gone."""
    clips = {
        row.sha256: LabelledClip(Path(os.fsdecode(row.path)), row.predicted, "", row.sha256)
        for row in rows
    }
    found = extract(list(clips.values()), model, cache, tolerated=1.0)
    if not found.clips:
        return {}
    judged = model.judge(found.tensor())
    by_content = {clip.sha256: one for clip, one in zip(found.clips, judged, strict=True)}
    return {row.id: by_content[row.sha256] for row in rows if row.sha256 in by_content}


def _model_prediction(model_id: int, prediction: Prediction) -> ModelPrediction:
    return ModelPrediction(
        model_id,
        prediction.class_name,
        prediction.class_index,
        prediction.probability,
        list(prediction.logits.values()),
    )

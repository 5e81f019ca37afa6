"""Has a later model predict earlier videos. Its predictions stand beside the first ones.

No file is moved. A video that has windows gets windows of this model, too.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, and_, case, exists, select

from daemon.classify.predictor import model_prediction
from daemon.database.expressions import that_counts
from daemon.database.predictions import Predictions
from daemon.database.records import WindowPrediction
from daemon.database.tables import predictions, videos, windows
from daemon.home import settings
from daemon.home.folder import Home
from daemon.training.decisions import Decisions
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract
from learner.errors import VidwatchError
from learner.files import sha256_of
from learner.prediction import Prediction
from learner.window_plan import WindowPlan
from learner.windowed import PredictedWindow, joined, predict_windows

BATCH = 64  # videos


@dataclass(frozen=True)
class Rescored:
    """How many videos a later model predicted."""

    model: str
    predicted: int
    changed: int
    """Predicted videos that get another class than before."""
    left_out: int
    """Videos whose features and files are both gone, or cannot be read."""


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
        cache: Has the features of clips.
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
    plan = loaded.window_plan
    model = Classifier.load(home.model_or_starter(name), device or loaded.device, loaded.reading)
    recorded = Predictions(engine)
    model_id = recorded.register_model(
        model.name, model.digest, model.classes, model.manifest.measured, now
    )
    rows = _not_predicted_by(engine, model_id)
    predicted = 0
    changed = 0
    done = 0
    for batch in _batches(rows, plan):
        of_windows: list[WindowPrediction] = []
        if plan and batch[0].is_long:
            (row,) = batch
            found = _in_windows(row, model, plan)
            new = {row.id: joined(model, found).prediction} if found else {}
            of_windows = [_window(row.id, model_id, one) for one in found]
        else:
            new = _predict(batch, model, cache)
        later = {video_id: model_prediction(model_id, one) for video_id, one in new.items()}
        recorded.rescore(later, now, of_windows)
        predicted += len(new)
        changed += sum(row.id in new and new[row.id].class_name != row.predicted for row in batch)
        done += len(batch)
        progress(done, len(rows))
    return Rescored(model.name, predicted, changed, len(rows) - predicted)


def _batches(rows: Sequence[Any], plan: WindowPlan | None) -> Iterator[Sequence[Any]]:
    """The videos that are predicted and recorded together; one with windows alone.

    So a stop does not lose hours of windows, and no more than those of one video are in memory.
    """
    alone = [row for row in rows if plan and row.is_long]
    others = [row for row in rows if not (plan and row.is_long)]
    for first in range(0, len(others), BATCH):
        yield others[first : first + BATCH]
    for row in alone:
        yield [row]


def _not_predicted_by(engine: Engine, model_id: int) -> Sequence[Any]:
    """The predicted videos for which this model has no prediction, with the class they got."""
    by_model = predictions.alias()
    of_video = by_model.c.video_id == videos.c.id
    is_predicted = exists().where(of_video, by_model.c.model_id == model_id)
    first = and_(predictions.c.video_id == videos.c.id, that_counts())
    predicted = predictions.c["class"].label("predicted")
    has_windows = exists().where(windows.c.video_id == videos.c.id)
    is_long = case((has_windows, True), else_=False).label("is_long")
    query = select(videos.c.id, videos.c.path, videos.c.sha256, predicted, is_long)
    query = query.join(predictions, first).where(~is_predicted).order_by(videos.c.id)
    with engine.begin() as connection:
        return connection.execute(query).all()


def _predict(rows: Sequence[Any], model: Classifier, cache: Cache) -> dict[int, Prediction]:
    """The predictions by video id, without the videos whose features and files are both gone."""
    clips = {
        row.sha256: LabelledClip(Path(os.fsdecode(row.path)), row.predicted, "", row.sha256)
        for row in rows
    }
    samples = extract(list(clips.values()), model, cache, tolerated=1.0)
    if not samples.clips:
        return {}
    found = model.judge(samples.tensor())
    by_content = {clip.sha256: one for clip, one in zip(samples.clips, found, strict=True)}
    return {row.id: by_content[row.sha256] for row in rows if row.sha256 in by_content}


def _in_windows(row: Any, model: Classifier, plan: WindowPlan) -> list[PredictedWindow]:
    """The windows of a video; none if its file is gone, is another one now, or cannot be read."""
    path = os.fsdecode(row.path)
    try:
        if sha256_of(row.path, follow_links=False) != row.sha256:
            return []
        return list(predict_windows(model, path, plan))
    except (OSError, VidwatchError):
        return []


def _window(video_id: int, model_id: int, found: PredictedWindow) -> WindowPrediction:
    return WindowPrediction(
        video_id=video_id,
        number=found.number,
        start=found.start,
        end=found.end,
        prediction=model_prediction(model_id, found.prediction),
        frames_read=found.frames_read,
        movement=found.movement,
        unsure=None if found.prediction.known else "unknown",
    )

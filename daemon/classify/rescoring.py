"""A later model's predictions for earlier videos, beside the answers; never instead of them, and no file moves."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine, and_, exists, select

from daemon.database.queue import Store
from daemon.database.records import Opinion
from daemon.database.tables import predictions, videos
from daemon.home import settings
from daemon.home.folder import Home
from daemon.training.decisions import History
from learner.cache import Cache
from learner.classifier import Classifier, Prediction
from learner.dataset import LabelledClip, extract
from learner.errors import VidwatchError

BATCH = 64


@dataclass(frozen=True)
class Found:
    """How many videos the model looked at, gave another class, and could not look at."""

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
) -> Found:
    """Let a model (the one that answers, where `name` is None) look at all videos that it has not looked at.

    On `device`, or on the one that the home's settings name.

    Raises:
        VidwatchError: no such model.
    """
    name = name or History(engine).champion()
    if name is None:
        raise VidwatchError("no model has answered here yet; start the daemon first")
    loaded = settings.load(home.settings)
    store = Store(engine, "rescore")
    model = Classifier.load(home.model_or_starter(name), device or loaded.device, loaded.reading)
    model_id = store.register_model(
        model.name, model.digest, model.classes, model.manifest.measured, now
    )
    said = predictions.alias()
    by_this = exists().where(said.c.video_id == videos.c.id, said.c.model_id == model_id)
    answer = and_(predictions.c.video_id == videos.c.id, predictions.c.kind == "answer")
    query = select(
        videos.c.id, videos.c.path, videos.c.sha256, predictions.c["class"].label("answer")
    )
    with engine.begin() as read:
        left = read.execute(
            query.join(predictions, answer).where(~by_this).order_by(videos.c.id)
        ).all()
    scored = other = 0
    for first in range(0, len(left), BATCH):
        rows = left[first : first + BATCH]
        clips = {
            row.sha256: LabelledClip(Path(os.fsdecode(row.path)), row.answer, "", row.sha256)
            for row in rows
        }
        found = extract(list(clips.values()), model, cache, tolerated=1.0)
        judged = model.judge(found.tensor()) if found.clips else []
        by_content = {
            clip.sha256: prediction for clip, prediction in zip(found.clips, judged, strict=True)
        }
        new = [
            (row.id, _said(model_id, by_content[row.sha256]))
            for row in rows
            if row.sha256 in by_content
        ]
        store.rescore(new, now)
        scored += len(new)
        other += sum(
            by_content[row.sha256].class_name != row.answer
            for row in rows
            if row.sha256 in by_content
        )
        progress(first + len(rows), len(left))
    return Found(model.name, scored, other, len(left) - scored)


def _said(model_id: int, prediction: Prediction) -> Opinion:
    index, logits = prediction.class_index, list(prediction.logits.values())
    return Opinion(model_id, prediction.class_name, index, prediction.probability, logits)

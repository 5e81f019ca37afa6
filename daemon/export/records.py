"""Videos, predictions and labels as typed records, and the columns of their tables. Only reads."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from daemon.export.columns import VIDEOS, Column, ExportTable
from daemon.export.filters import Filters
from daemon.export.rows import Found, Scores, find_videos, video_values
from daemon.report.one_video import Given, Predicted, read_labels, read_predictions

RENAMED = {"class": "class_name"}
"""The fields of records that are not called as their columns: `class` is a word of Python."""
_NAMES = tuple(RENAMED.get(column.name, column.name) for column in VIDEOS.columns)
_TIMES = tuple(column.kind == "time" for column in VIDEOS.columns)


@dataclass(frozen=True)
class Video:
    """A file that arrived. The fields are the columns of the exported table `videos`.

    `docs/export.md` describes each. Times are in UTC, to a second.
    """

    id: int
    name: str
    source: str | None
    path: Path
    uri: str
    copied_from: Path | None
    state: str
    class_name: str | None
    """What it counts as: its label, else its prediction; `_unsure` if that is unsure."""
    recorded_at: datetime | None
    recorded_by: str | None
    arrived_at: datetime
    finished_at: datetime | None
    camera: str | None
    group: str | None
    size: int
    sha256: str | None
    duplicate_of: int | None
    error: str | None
    prediction: str | None
    probability: float | None
    unsure: str | None
    familiarity: float | None
    model: str | None
    predicted_at: datetime | None
    read_share: float | None
    movement: float | None
    label: str | None
    labelled_by: str | None
    labelled_at: datetime | None
    labelled_how: str | None
    note: str | None
    file: str
    scores: Mapping[str, float | None]
    """The raw score (logit) of each class of the model; empty without a prediction."""


@dataclass(frozen=True)
class Prediction:
    """What one model predicts for a video."""

    video_id: int
    """The first video with this content."""
    path: Path
    model: str
    class_name: str
    """By the name that the class has now."""
    probability: float
    kind: str
    """`answer`: it counts. `shadow`: of a challenger. `rescored`: of a later model."""
    unsure: str | None
    familiarity: float | None
    read_share: float | None
    predicted_at: datetime
    scores: Mapping[str, float | None]
    """The raw score (logit) of each class of the model, the largest first."""


@dataclass(frozen=True)
class Label:
    """What a person said of a video."""

    video_id: int
    """The first video with this content."""
    path: Path
    verdict: str
    """`labelled`, `unsure` (the person cannot tell), or `withdrawn` (one is taken back)."""
    class_name: str | None
    """None unless the verdict is `labelled`."""
    labelled_how: str
    labelled_by: str
    labelled_at: datetime
    counts: bool
    """Whether it is the one that counts for the video."""
    taken_back_by: str | None
    taken_back_at: datetime | None
    note: str | None
    """What the person wrote beside it."""


_OF_VIDEO = (
    Column("video_id", "integer", "The `id` of the first video with this content."),
    Column("path", "text", "As in the table of videos."),
)
PREDICTIONS = ExportTable(
    "predictions",
    "A row for each model's prediction of a content.",
    (
        *_OF_VIDEO,
        Column("model", "text", "The model that predicted."),
        Column("class", "text", "The predicted class, by its present name."),
        Column("probability", "number", "Of that class, from 0 to 1."),
        Column("kind", "text", "`answer` (it counts), `shadow` or `rescored`."),
        Column("unsure", "text", "As in the table of videos."),
        Column("familiarity", "number", "As in the table of videos."),
        Column("read_share", "number", "As in the table of videos."),
        Column("predicted_at", "time", "When it was made."),
    ),
)
LABELS = ExportTable(
    "labels",
    "A row for each label of a content, those that were taken back included.",
    (
        *_OF_VIDEO,
        Column("verdict", "text", "`labelled`, `unsure` or `withdrawn`."),
        Column("class", "text", "Empty unless the verdict is `labelled`."),
        Column("labelled_how", "text", "As in the table of videos."),
        Column("labelled_by", "text", "Who gave it."),
        Column("labelled_at", "time", "When."),
        Column("counts", "boolean", "Whether it is the one that counts."),
        Column("taken_back_by", "text", "Who took it back."),
        Column("taken_back_at", "time", "When."),
        Column("note", "text", "What the person wrote beside it."),
    ),
    has_scores=False,
)


def read_videos(connection: Connection, filters: Filters) -> Iterator[Video]:
    """The videos that the filters match, in the order of their ids.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    scores = Scores.read(connection, filters.models)
    for rows in find_videos(connection, filters):
        for found in rows:
            yield _video(found, scores)


def read_all_predictions(connection: Connection, filters: Filters) -> Iterator[Prediction]:
    """The predictions of the videos that the filters match, by all models; that which counts first.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    for videos in _contents(connection, filters):
        predicted = read_predictions(connection, videos)
        for content, path in videos.items():
            for one in predicted.get(content, ()):
                yield _prediction(content, path, one)


def read_all_labels(connection: Connection, filters: Filters) -> Iterator[Label]:
    """The labels of the videos that the filters match, the newest of a video first.

    Raises:
        VidwatchError: a filter names what does not exist.
    """
    for videos in _contents(connection, filters):
        given = read_labels(connection, videos)
        for content, path in videos.items():
            for one in given.get(content, ()):
                yield _label(content, path, one)


def _contents(connection: Connection, filters: Filters) -> Iterator[dict[int, Path]]:
    """Each content that the filters match, once, with a path of it, in batches."""
    seen = set[int]()
    for rows in find_videos(connection, filters):
        batch: dict[int, Path] = {}
        for found in rows:
            if found.content not in seen:
                batch.setdefault(found.content, _path(found.path))
        seen.update(batch)
        yield batch


def _video(found: Found, scores: Scores) -> Video:
    values: Sequence[object] = [
        datetime.fromisoformat(str(value)) if is_time and value else value
        for value, is_time in zip(video_values(found), _TIMES, strict=True)
    ]
    fields = dict(zip(_NAMES, values, strict=True))
    fields["path"] = _path(found.path)
    fields["copied_from"] = _path(found.left_at) if found.left_at else None
    fields["scores"] = json.loads(scores.as_json(found.model_id, found.logits))
    return Video(**fields)  # type: ignore[arg-type]


def _prediction(content: int, path: Path, one: Predicted) -> Prediction:
    return Prediction(
        video_id=content,
        path=path,
        model=one.model,
        class_name=one.class_name,
        probability=one.probability,
        kind=one.kind,
        unsure=one.unsure,
        familiarity=one.familiarity,
        read_share=one.read_share,
        predicted_at=one.at,
        scores=one.logits,
    )


def _label(content: int, path: Path, one: Given) -> Label:
    return Label(
        video_id=content,
        path=path,
        verdict=one.verdict,
        class_name=one.class_name,
        labelled_how=one.source,
        labelled_by=one.who,
        labelled_at=one.at,
        counts=one.counts,
        taken_back_by=one.taken_back_by,
        taken_back_at=one.taken_back_at,
        note=one.note,
    )


def _path(path: bytes) -> Path:
    return Path(os.fsdecode(path))

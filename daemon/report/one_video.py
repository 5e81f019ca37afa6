"""All that is known of one video: its row, its predictions, its labels. Only reads."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.expressions import as_now, shown_name, stands
from daemon.database.tables import labels, models, predictions, videos
from daemon.database.trash import is_in_trash
from daemon.home.calibration import probabilities, read_calibration
from daemon.home.folder import Home
from daemon.home.texts import printable
from daemon.report.events import seconds_of
from daemon.report.long_in_hand import predicted_until
from daemon.report.story import Story, read_story
from daemon.report.timeline import Timeline, event_fields, fields_of, read_timeline
from learner.errors import VidwatchError

ROUNDING = 1e-3  # of a probability, which may have been computed on another device


@dataclass(frozen=True)
class Predicted:
    """What one model predicts for a video."""

    model: str
    class_name: str
    """By the name that the class has now."""
    probability: float
    kind: str
    """"answer": it decided where the video was filed. "shadow", "rescored": as in the database."""
    unsure: str | None
    familiarity: float | None
    read_share: float | None
    frames_asked: int
    frames_read: int
    decoder: str
    stream: int | None
    """As in the table `predictions`, like `colours`."""
    colours: str | None
    logits: dict[str, float]
    """By the model's own names of the classes, the largest first."""
    at: datetime
    uncut: str | None = None
    """Why it could not be cut into windows, however long it is."""
    machine: str | None = None
    """Of several that share a database, the one that recorded it; None if there is one."""
    probabilities: dict[str, float] | None = None
    """As `logits`. None if the model's calibration is not known any more."""

    def to_json(self) -> dict[str, Any]:
        """One object; it names a machine only if there are several."""
        row = fields_of(self)
        return row if self.machine else {key: row[key] for key in row if key != "machine"}


@dataclass(frozen=True)
class Given:
    """A label that a person gave."""

    id: int
    verdict: str
    class_name: str | None
    source: str
    who: str
    at: datetime
    counts: bool
    """Whether it is the one that counts."""
    taken_back_by: str | None = None
    """Who took it back; None if nobody did."""
    taken_back_at: datetime | None = None
    note: str | None = None
    """What the person wrote beside it."""


@dataclass(frozen=True)
class VideoReport:
    """All that is known of one video."""

    id: int
    name: str
    path: bytes
    state: str
    content: int
    """The first video with the same content: itself if it is the first."""
    sha256: str | None
    group: str | None
    error: str | None
    arrived_at: datetime
    recorded_at: datetime | None
    recorded_by: str | None
    camera: str | None
    movement: float | None
    """The share of the picture that changes; None if that was not measured."""
    predictions: tuple[Predicted, ...]
    """That which counts first."""
    labels: tuple[Given, ...]
    """The newest first, those that were taken back included."""
    timeline: Timeline
    story: Story | None = None
    trashed_at: datetime | None = None
    """When its file was put into the trash; None if it was not, or was taken out."""
    removed_at: datetime | None = None
    """When its file was deleted from the trash."""
    predicted_until: float | None = None
    """How far the windows of a video in hand are predicted, in seconds; None of any other."""

    @property
    def model(self) -> str | None:
        """The model whose prediction counts; None if there is none."""
        return next((one.model for one in self.predictions if one.kind == "answer"), None)

    def to_json(self) -> dict[str, Any]:
        """One object; times of day in ISO 8601, those in the video in seconds."""
        row = fields_of(self)
        timeline = row.pop("timeline")
        story = row.pop("story")
        row["path"] = printable(os.fsdecode(self.path))
        row["duplicate_of"] = None if self.content == self.id else self.content
        del row["content"]
        row["predictions"] = [one.to_json() for one in self.predictions]
        row["labels"] = [fields_of(one) for one in self.labels]
        row["seconds"] = timeline.seconds or None
        row["classes"] = seconds_of(timeline.events)
        row["events"] = [event_fields(event) for event in timeline.events]
        row["windows"] = [fields_of(window) for window in timeline.windows]
        row["part_labels"] = [
            {**fields_of(one), **fields_of(one.part), "part": str(one.part)}
            for one in timeline.labels
        ]
        return row | (story.to_json() if story else {})


def read_video(connection: Connection, video: int, home: Home | None = None) -> VideoReport:
    """All that is known of a video.

    Args:
        connection: To the database.
        video: The video.
        home: Where the models are; None if the probabilities of all classes are no question.

    Raises:
        VidwatchError: there is no such video.
    """
    query = select(videos, shown_name()).where(videos.c.id == video)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise VidwatchError(f"there is no video {video}; 'vidwatch status' shows the ids")
    content = row["duplicate_of"] or row["id"]
    is_trashed = is_in_trash(connection, row["path"])
    return VideoReport(
        id=row["id"],
        name=row["shown_name"],
        path=row["path"],
        state=row["state"],
        content=content,
        sha256=row["sha256"],
        group=row["group"],
        error=row["error"],
        arrived_at=row["arrived_at"],
        recorded_at=row["recorded_at"],
        recorded_by=row["recorded_by"],
        camera=row["camera"],
        movement=row["movement"],
        predictions=tuple(read_predictions(connection, [content], home).get(content, ())),
        labels=tuple(read_labels(connection, [content]).get(content, ())),
        timeline=read_timeline(connection, content),
        story=read_story(connection, row),
        trashed_at=row["trashed_at"] if is_trashed else None,
        removed_at=row["removed_at"] if is_trashed else None,
        predicted_until=predicted_until(connection, video),
    )


def read_predictions(
    connection: Connection, contents: Collection[int], home: Home | None = None
) -> dict[int, list[Predicted]]:
    """What all models predict for these contents, by content: that which counts first.

    Arguments are as for `read_video`.
    """
    query = (
        select(predictions, models.c.name, models.c.classes)
        .add_columns(as_now(predictions.c["class"]).label("class_now"))
        .join(models, models.c.id == predictions.c.model_id)
        .where(predictions.c.video_id.in_(contents))
        .order_by(predictions.c.kind != "answer", predictions.c.id.desc())
    )
    found: dict[int, list[Predicted]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["video_id"], []).append(_predicted(row, home))
    return found


def _predicted(row: Mapping[Any, Any], home: Home | None) -> Predicted:
    logits = dict(zip(row["classes"], row["logits"], strict=False))
    return Predicted(
        model=row["name"],
        class_name=row["class_now"],
        probability=row["probability"],
        kind=row["kind"],
        unsure=row["doubt"],
        familiarity=row["familiarity"],
        read_share=row["read_share"],
        frames_asked=row["frames_asked"],
        frames_read=row["frames_read"],
        decoder=row["decoder"],
        stream=row["stream"],
        colours=row["colours"],
        logits=_largest_first(logits),
        at=row["created_at"],
        uncut=row["uncut"],
        machine=row["machine"],
        probabilities=_probabilities(row, home) if home else None,
    )


def _probabilities(row: Mapping[Any, Any], home: Home) -> dict[str, float] | None:
    """The probabilities of all classes; None if the model is gone, or another one has its name."""
    calibration = read_calibration(home, row["name"])
    if calibration is None or len(calibration.bias) not in (0, len(row["logits"])):
        return None
    found = probabilities(row["logits"], calibration) if row["logits"] else []
    if len(found) != len(row["classes"]):
        return None
    if abs(found[row["class_index"]] - row["probability"]) > ROUNDING:
        return None
    return _largest_first(dict(zip(row["classes"], found, strict=True)))


def _largest_first(values: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(values.items(), key=lambda item: -item[1]))


def read_labels(connection: Connection, contents: Collection[int]) -> dict[int, list[Given]]:
    """The labels of these contents, by content: the newest first, with those taken back."""
    later = labels.alias()
    taken_back = (later.c.who.label("taken_back_by"), later.c.created_at.label("taken_back_at"))
    query = (
        select(labels, stands().label("stands"), *taken_back)
        .outerjoin(later, later.c.takes_back == labels.c.id)
        .where(labels.c.video_id.in_(contents))
    )
    found: dict[int, list[Given]] = {}
    counting = set[int]()
    for row in connection.execute(query.order_by(labels.c.id.desc())).mappings():
        counts = row["stands"] and row["video_id"] not in counting
        if counts:
            counting.add(row["video_id"])
        found.setdefault(row["video_id"], []).append(_given(row, counts=bool(counts)))
    return found


def _given(row: Mapping[Any, Any], *, counts: bool) -> Given:
    return Given(
        id=row["id"],
        verdict=row["verdict"],
        class_name=row["class"],
        source=row["source"],
        who=row["who"],
        at=row["created_at"],
        counts=counts,
        taken_back_by=row["taken_back_by"],
        taken_back_at=row["taken_back_at"],
        note=row["note"],
    )

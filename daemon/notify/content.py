"""What an event says, as one JSON object: read from the database when the event is sent.

So a video's path is where the video lies then. The keys are those of `vidwatch status --json`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, select

from daemon.database.expressions import content_of_video, that_counts
from daemon.database.tables import (
    decisions,
    labels,
    models,
    part_labels,
    predictions,
    trainings,
    videos,
)
from daemon.home.texts import uri
from daemon.labels.queries import label_of
from daemon.notify.outbox import Waiting

# A video is moved in the moment after its prediction. Its event waits for that, but not for long:
# it may be that its file cannot be moved now.
MOVING = timedelta(seconds=15)

Content = dict[str, Any]
# What the settings call an event, if it is not what the database calls it.
NAMES = {"labelled_part": "labelled"}


def is_being_moved(connection: Connection, event: Waiting, now: datetime) -> bool:
    """Whether the event's video will lie elsewhere in a moment."""
    if event.event not in ("classified", "failed") or abs(now - event.created_at) > MOVING:
        return False
    columns = (videos.c.finished_at, videos.c.trouble)
    row = connection.execute(select(*columns).where(videos.c.id == event.subject)).first()
    return row is not None and row.finished_at is None and row.trouble is None


def content_of(connection: Connection, event: Waiting) -> Content | None:
    """What an event says. None if the row that it is about is gone."""
    head = {
        "event": NAMES.get(event.event, event.event),
        "event_id": event.event_id,
        "event_at": event.created_at.isoformat(),
    }
    if event.subject is None:
        subject, _, text = (event.text or "").partition(": ")
        return {**head, "subject": subject, "text": text or None, "over": not text}
    rest = _READERS[event.event](connection, event.subject)
    return None if rest is None else {**head, **rest}


def _classified(connection: Connection, video: int) -> Content | None:
    found = _video(connection, video)
    return None if found is None else {**found, **_prediction(connection, video)}


def _failed(connection: Connection, video: int) -> Content | None:
    found = _video(connection, video)
    error = connection.scalar(select(videos.c.error).where(videos.c.id == video))
    return None if found is None else {**found, "error": error}


def _video(connection: Connection, video: int) -> Content | None:
    row = connection.execute(select(videos).where(videos.c.id == video)).mappings().first()
    if row is None:
        return None
    return {
        "id": row["id"],
        "name": row["name"],
        "source": row["source"],
        # As JSON, half a character is refused by many programs.
        "path": row["path"].decode("utf-8", "backslashreplace"),
        "uri": uri(row["path"]),
        "size": row["size"],
        "sha256": row["sha256"],
        "duplicate_of": row["duplicate_of"],
        "dropped": row["dropped_at"] is not None,
        "arrived_at": _iso(row["arrived_at"]),
        "recorded_at": _iso(row["recorded_at"]),
        "recorded_by": row["recorded_by"],
        "camera": row["camera"],
        "movement": row["movement"],
        "label": label_of(connection, row["duplicate_of"] or row["id"]),
    }


def _prediction(connection: Connection, video: int) -> Content:
    own = and_(predictions.c.video_id == content_of_video(), that_counts())
    query = select(predictions, models.c.name.label("model"), models.c.classes)
    query = query.select_from(videos).join(predictions, own)
    query = query.join(models, models.c.id == predictions.c.model_id).where(videos.c.id == video)
    row = connection.execute(query).mappings().first()
    if row is None:
        return {}
    same = ("probability", "doubt", "familiarity", "read_share", "frames_read", "stream", "colours")
    return {
        "class": row["class"],
        **{name: row[name] for name in same},
        "model": row["model"],
        "at": _iso(row["created_at"]),
        "logits": dict(zip(row["classes"], row["logits"], strict=False)),
    }


def _labelled(connection: Connection, label: int) -> Content | None:
    row = connection.execute(select(labels).where(labels.c.id == label)).mappings().first()
    return None if row is None else _label(connection, row, row["verdict"], None)


def _labelled_part(connection: Connection, label: int) -> Content | None:
    query = select(part_labels).where(part_labels.c.id == label)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    verdict = "withdrawn" if row["takes_back"] is not None else "labelled"
    return _label(connection, row, verdict, {"start": row["start_s"], "end": row["end_s"]})


def _label(connection: Connection, row: Any, verdict: str, part: Content | None) -> Content:
    of_label = {
        "label_id": row["id"],
        "verdict": verdict,
        "given": row["class"],
        "given_by": row["who"],
        "given_how": row["source"],
        "given_at": _iso(row["created_at"]),
        "part": part,
    }
    return {**(_classified(connection, row["video_id"]) or {}), **of_label}


def _promoted(connection: Connection, decision: int) -> Content | None:
    query = select(decisions).where(decisions.c.id == decision)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return {
        "model": row["challenger"],
        "before": row["champion"],
        "verdict": row["verdict"],
        "reason": row["reason"],
        "at": _iso(row["created_at"]),
    }


def _training_failed(connection: Connection, training: int) -> Content | None:
    query = select(trainings).where(trainings.c.id == training)
    row = connection.execute(query).mappings().first()
    if row is None:
        return None
    return {
        "model": row["name"],
        "error": row["error"],
        "asked_because": row["why"],
        "at": _iso(row["ended_at"]),
    }


_READERS: dict[str, Callable[[Connection, int], Content | None]] = {
    "classified": _classified,
    "failed": _failed,
    "labelled": _labelled,
    "labelled_part": _labelled_part,
    "promoted": _promoted,
    "training_failed": _training_failed,
}


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None

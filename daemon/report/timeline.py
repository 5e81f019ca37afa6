"""What is in a long video, when: its windows, joined to events. Only reads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos, windows
from daemon.labels.classes import changed_names
from daemon.labels.parts import PartLabel, labels_of_parts
from daemon.report.events import Event, Labelled, Span, find_events


@dataclass(frozen=True)
class Timeline:
    """What is in a long video, when. Of a video that was not cut into windows, it is empty."""

    windows: tuple[Span, ...] = ()
    labels: tuple[PartLabel, ...] = ()
    """The labels of its parts that count, the oldest first."""

    @property
    def events(self) -> list[Event]:
        """Its events, in order."""
        given = [Labelled(one.part.start, one.part.end, one.class_name) for one in self.labels]
        return find_events(self.windows, given)

    @property
    def seconds(self) -> float:
        """How long the video is."""
        return max((window.end for window in self.windows), default=0.0)


def read_timeline(connection: Connection, content: int) -> Timeline:
    """What is in a video, when, by the model whose prediction counts.

    Args:
        connection: To the database.
        content: The video; no duplicate.
    """
    spans = _spans(connection, content)
    if not spans:
        return Timeline()
    return Timeline(tuple(spans), tuple(labels_of_parts(connection, content)))


def read_window(connection: Connection, content: int, number: int) -> Span | None:
    """One window of a video, by its number; None if there is none. As `read_timeline`."""
    return next(iter(_spans(connection, content, number)), None)


def _spans(connection: Connection, content: int, number: int | None = None) -> list[Span]:
    counts = select(predictions.c.model_id).where(predictions.c.video_id == content, that_counts())
    # Not their logits: of a month of windows, these are millions of numbers.
    names = ("number", "start_s", "end_s", "class", "probability", "doubt")
    query = select(*(windows.c[name] for name in names)).where(
        windows.c.video_id == content, windows.c.model_id == counts.scalar_subquery()
    )
    if number is not None:
        query = query.where(windows.c.number == number)
    rows = connection.execute(query.order_by(windows.c.number)).mappings().all()
    renamed = changed_names(connection) if rows else {}
    return [
        Span(
            start=row["start_s"],
            end=row["end_s"],
            class_name=renamed.get(row["class"]) or row["class"],
            probability=row["probability"],
            is_unsure=row["doubt"] is not None,
            number=row["number"],
        )
        for row in rows
    ]


def with_windows(connection: Connection) -> list[int]:
    """The videos that were cut into windows and have a prediction, the oldest first."""
    is_cut = select(windows.c.id).where(windows.c.video_id == predictions.c.video_id).exists()
    query = select(predictions.c.video_id).join(videos, videos.c.id == predictions.c.video_id)
    query = query.where(that_counts(), is_cut, videos.c.duplicate_of.is_(None))
    return list(connection.scalars(query.order_by(predictions.c.video_id)))


def fields_of(one: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON; `class_name` as `class`, times in ISO 8601."""
    fields: dict[str, Any] = {}
    for name, value in vars(one).items():
        key = "class" if name == "class_name" else name
        fields[key] = value.isoformat() if isinstance(value, datetime) else value
    return fields


def event_fields(event: Event) -> dict[str, Any]:
    """As `fields_of`, and whether a person labelled it."""
    return {**fields_of(event), "labelled": event.is_labelled}

"""What is in a long video, when: its windows, joined to events. Only reads."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos, windows
from daemon.database.windows import windows_of
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
    found = windows_of(connection, content)
    if not found:
        return Timeline()
    renamed = changed_names(connection)
    spans = [
        Span(
            start=window.start,
            end=window.end,
            class_name=renamed.get(window.prediction.class_name) or window.prediction.class_name,
            probability=window.prediction.probability,
            is_unsure=window.unsure is not None,
        )
        for window in found
    ]
    return Timeline(tuple(spans), tuple(labels_of_parts(connection, content)))


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

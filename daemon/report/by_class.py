"""Finds videos by what is in them: by any class of their events, not by the main one alone.

Only reads.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    or_,
    select,
)

from daemon.database.expressions import as_now, shown_name, that_counts
from daemon.database.tables import part_labels, predictions, videos, windows
from daemon.home.texts import printable
from daemon.labels.classes import changed_names
from daemon.labels.parts import counting
from daemon.labels.queries import newest
from daemon.report.events import UNSURE, Event
from daemon.report.timeline import Timeline, event_fields, read_timeline


@dataclass(frozen=True)
class InVideo:
    """A video in which a class was found."""

    id: int
    name: str
    path: bytes
    main: str
    """The class that it was filed by: of its label, else of its prediction, or `UNSURE`."""
    seconds: float | None
    """For how long the class was found in it; None if it was not cut into windows."""
    events: tuple[Event, ...]
    """Those of the class."""

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "id": self.id,
            "name": self.name,
            "path": printable(os.fsdecode(self.path)),
            "class": self.main,
            "seconds": self.seconds,
            "events": [event_fields(one) for one in self.events],
        }


def find_class(connection: Connection, class_name: str) -> Iterator[InVideo]:
    """The videos in which a class was found, the newest first.

    Those of which it is the main class, and those of whose events it is one. `UNSURE` finds what
    is unsure.
    """
    for row in connection.execute(_candidates(connection, class_name)).all():
        timeline = read_timeline(connection, row.id) if row.is_cut else Timeline()
        events = tuple(one for one in timeline.events if one.class_name == class_name)
        if events or row.main == class_name:
            seconds = sum(one.seconds for one in events) if timeline.windows else None
            yield InVideo(row.id, row.shown_name, row.path, row.main, seconds, events)


def main_class(label: FromClause) -> ColumnElement[str]:
    """The class that a video is filed by: of its label, else of its prediction, or `UNSURE`.

    Args:
        label: Rows of `labels`, the one that counts joined to each video; `predictions` likewise.
    """
    return case(
        (label.c.verdict == "unsure", UNSURE),
        (label.c["class"].is_not(None), label.c["class"]),
        (predictions.c.doubt.is_not(None), UNSURE),
        else_=as_now(predictions.c["class"]),
    )


def _candidates(connection: Connection, class_name: str) -> Select[Any]:
    """The videos that have the class somewhere, if only in a window that others outvote."""
    label = newest().subquery()
    main = main_class(label)
    is_it = windows.c["class"].in_(_names(connection, class_name))
    if class_name == UNSURE:
        is_it = windows.c.doubt.is_not(None)
    by_window = select(windows.c.video_id).where(is_it)
    by_part = select(part_labels.c.video_id).where(part_labels.c["class"] == class_name, counting())
    has_it = or_(main == class_name, videos.c.id.in_(by_window), videos.c.id.in_(by_part))
    is_cut = select(windows.c.id).where(windows.c.video_id == videos.c.id).exists()
    query = (
        select(videos.c.id, videos.c.path, shown_name(), main.label("main"), is_cut.label("is_cut"))
        .join(predictions, and_(predictions.c.video_id == videos.c.id, that_counts()))
        .outerjoin(label, label.c.video_id == videos.c.id)
    )
    query = query.where(videos.c.duplicate_of.is_(None), has_it)
    return query.order_by(videos.c.id.desc())


def _names(connection: Connection, class_name: str) -> list[str]:
    """The names under which models predict a class."""
    changed = changed_names(connection)
    former = [old for old, new in changed.items() if new == class_name]
    return former if class_name in changed else [class_name, *former]

"""The groups of labelled videos: stated by people, or guessed from all that is labelled."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from daemon.database.tables import is_stated, labels, predictions, that_counts, videos
from daemon.labels.queries import newest
from learner.groups import ClipFacts, Grouping, find_groups, recorded_at


@dataclass(frozen=True)
class LabelledGroups:
    """The groups of the predicted videos whose newest label is a class."""

    names: Mapping[int, str]
    """The group of each video, by its id."""
    classes: Mapping[int, str]
    """The class of each video, by its id."""
    found: Grouping
    """How the groups were found."""


def labelled_groups(connection: Connection) -> LabelledGroups:
    """Find the groups of all labelled videos, as `vidwatch train` finds those of a folder."""
    label = newest().where(labels.c.verdict == "labelled").subquery()
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    columns = ("id", "group", "fingerprint", "sha256", "mtime_ns")
    query = (
        select(label.c["class"].label("class_name"), *(videos.c[name] for name in columns))
        .join(videos, videos.c.id == label.c.video_id)
        .join(predictions, prediction)
        .order_by(label.c.id)
    )
    rows = connection.execute(query).all()
    clips = [
        ClipFacts(
            label=row.class_name,
            own=str(row.id),
            content=row.sha256,
            stated=row.group if is_stated(row.group) else None,
            fingerprint=row.fingerprint,
            recorded=recorded_at(row.mtime_ns),
        )
        for row in rows
    ]
    found = find_groups(clips)
    return LabelledGroups(
        names={row.id: group for row, group in zip(rows, found.groups, strict=True)},
        classes={row.id: row.class_name for row in rows},
        found=found,
    )

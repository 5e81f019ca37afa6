"""What is often asked of the rows of the tables, as SQL expressions."""

import re
from typing import TypeGuard

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    not_,
    select,
)

from daemon.database.columns import Behind, Below
from daemon.database.tables import class_names, labels, part_labels, predictions, videos


def that_counts(prediction: FromClause = predictions) -> ColumnElement[bool]:
    """Whether a prediction decided where its video was filed, and is shown for it."""
    return prediction.c.kind == "answer"


def is_for_champion(video_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the champion predicts a video, and later ones learn from its labels.

    Videos of a source with a model of its own are not for it.
    """
    video = videos.alias()
    has_own = and_(video.c.id == video_id, video.c.own_model.is_not(None))
    return not_(select(video.c.id).where(has_own).exists())


def as_now(class_name: ColumnElement[str]) -> ColumnElement[str]:
    """The name that a predicted class has now: another one if it was renamed."""
    new = select(class_names.c.new).where(class_names.c.old == class_name).scalar_subquery()
    return func.coalesce(new, class_name)


def stands(label: FromClause = labels) -> ColumnElement[bool]:
    """Whether a label is no withdrawal, and nobody has taken it back."""
    later = labels.alias()
    taken_back = select(later.c.id).where(later.c.takes_back == label.c.id).exists()
    return and_(label.c.verdict != "withdrawn", not_(taken_back))


def part_stands(label: FromClause = part_labels) -> ColumnElement[bool]:
    """Whether a row of the labels of parts is a label, and nobody has taken it back."""
    withdrawal = part_labels.alias()
    taken_back = select(withdrawal.c.id).where(withdrawal.c.takes_back == label.c.id).exists()
    return and_(label.c.takes_back.is_(None), not_(taken_back))


def content_of_video() -> ColumnElement[int]:
    """The first video with the same content as a row of `videos`: its own id if it is the first."""
    return func.coalesce(videos.c.duplicate_of, videos.c.id)


def shown_name() -> ColumnElement[str]:
    """The name of a row of `videos` for people: with the folder of the inbox that it came from.

    Two cameras may both send a `00.mp4`.
    """
    with_source = videos.c.source.concat("/").concat(videos.c.name)
    return case((videos.c.source.is_(None), videos.c.name), else_=with_source).label("shown_name")


def own_group(video_id: int) -> str:
    """The group of a video that belongs to no group of several videos, as far as is known."""
    return f"#{video_id}"


def group_of_video() -> ColumnElement[str]:
    """The group of a row of `videos`; its own group if it has no other."""
    own = literal("#") + cast(videos.c.id, Text)
    return func.coalesce(func.nullif(videos.c.group, ""), own)


def is_stated(group: str | None) -> TypeGuard[str]:
    """Whether a value of the column `videos.group` was stated by a name or a folder.

    A group that was found by comparing clips has the name of its first video's own group.
    """
    return bool(group and not re.fullmatch(r"#\d+", group))


def lies_below(path: ColumnElement[bytes], folder: bytes) -> ColumnElement[bool]:
    """Whether a path lies below a folder. SQLite can use an index of the paths for it."""
    return and_(path > literal(folder, Below), path < literal(folder, Behind))

"""Queries of labels that several rooms need. Only reads."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    and_,
    func,
    not_,
    or_,
    select,
)

from daemon.database.expressions import (
    as_now,
    content_of_video,
    is_for_champion,
    stands,
    that_counts,
)
from daemon.database.tables import labels, predictions, videos
from daemon.home.texts import with_source


def newest() -> Select[Any]:
    """The label that counts of each labelled video: the newest that nobody has taken back."""
    later = labels.alias()
    is_later = and_(later.c.video_id == labels.c.video_id, later.c.id > labels.c.id, stands(later))
    newer = select(later.c.id).where(is_later)
    # Not the greatest id of each video: for the labels of one video, or of today, SQLite would
    # read all labels.
    return select(labels).where(stands(), not_(newer.exists()))


def newest_id(content: ColumnElement[int]) -> ScalarSelect[int]:
    """The label that counts of a content: its id; NULL if it has none. As `newest`."""
    own = labels.alias()
    standing = select(func.max(own.c.id)).where(own.c.video_id == content, stands(own))
    # Also where it is part of a query that is itself part of one with `content`.
    return standing.correlate_except(own).scalar_subquery()


def new_since(
    last_label: int, class_name: str | None = None, most: int | None = None
) -> Select[Any]:
    """The classes of new labels of predicted videos: `name`, and `n`, how many have it.

    A label is new if it is newer than the label `last_label`, and gives the video another class
    than it had then. A video that could not be read trains no model, and a video that waits to be
    read may turn out to be one.

    Args:
        last_label: The newest label that is not new.
        class_name: The only class whose labels are counted; None: all.
        most: How many are counted at most; None: all.
    """
    own = select(predictions.c.id).where(predictions.c.video_id == labels.c.video_id, that_counts())
    is_predicted = own.exists()  # joined, SQLite would begin with all the predictions
    is_recent = and_(labels.c.id > last_label, labels.c.verdict == "labelled")
    learned = (is_predicted, is_for_champion(labels.c.video_id))
    of_class = () if class_name is None else (labels.c["class"] == class_name,)
    recent = newest().where(is_recent, *of_class, *learned).subquery()
    before = labels.alias()
    was_before = and_(before.c.video_id == recent.c.video_id, before.c.id <= last_label)
    withdrawn = labels.alias()
    was_taken_back = and_(withdrawn.c.takes_back == before.c.id, withdrawn.c.id <= last_label)
    stood = not_(select(withdrawn.c.id).where(was_taken_back).exists())
    old_class = select(before.c["class"]).where(was_before, before.c.verdict != "withdrawn", stood)
    old_class = old_class.order_by(before.c.id.desc()).limit(1)
    is_new = recent.c["class"].is_distinct_from(old_class.scalar_subquery())
    new = select(recent.c["class"].label("name")).where(is_new).limit(most).subquery()
    return select(new.c.name, func.count().label("n")).group_by(new.c.name)


def taken_back_since(last_label: int) -> Select[Any]:
    """How many videos lost the class that they had at the label `last_label`.

    The label was taken back since, and the video has not got the same class again.
    """
    withdrawn = labels.alias()
    now = newest().subquery()
    query = select(func.count(labels.c.video_id.distinct()))
    query = query.join(withdrawn, withdrawn.c.takes_back == labels.c.id)
    query = query.outerjoin(now, now.c.video_id == labels.c.video_id)
    return query.where(
        withdrawn.c.id > last_label,
        labels.c.id <= last_label,
        labels.c.verdict == "labelled",
        is_for_champion(labels.c.video_id),
        now.c["class"].is_distinct_from(labels.c["class"]),
    )


def label_of(connection: Connection, content: int) -> str | None:
    """The class of the label that counts of a content; None if it has no label, or is unsure."""
    row = connection.execute(newest().where(labels.c.video_id == content)).mappings().first()
    return row["class"] if row else None


def find(connection: Connection, condition: Any) -> dict[int, Any]:
    """Videos by id: their rows, with three columns more.

    `content` is the first video with the same content, `predicted` the class of its prediction by
    the name that it has now, and `doubt` says why that is unsure. Both are None if there is no
    prediction.
    """
    content = content_of_video()
    own = and_(predictions.c.video_id == content, that_counts())
    more = (
        content.label("content"),
        as_now(predictions.c["class"]).label("predicted"),
        predictions.c.doubt,
    )
    query = select(videos, *more).outerjoin(predictions, own).where(condition)
    rows = connection.execute(query.order_by(videos.c.id)).mappings()
    return {row["id"]: row for row in rows}


def without_file(connection: Connection, ids: Collection[int]) -> list[str]:
    """The names of those of these videos whose files were deleted from the trash."""
    first = videos.alias()
    query = select(videos.c.name, videos.c.source).join(first, first.c.id == content_of_video())
    query = query.where(videos.c.id.in_(ids), first.c.removed_at.is_not(None))
    rows = connection.execute(query.order_by(videos.c.id))
    return [with_source(row.name, row.source) for row in rows]


def came_with_video(label: FromClause = labels) -> ColumnElement[bool]:
    """Whether a label came with its video: nobody had seen a prediction of it.

    A person put the file straight into a class folder, or imported it with its label: then both
    have the same time.
    """
    of_label = videos.alias()
    arrived = select(of_label.c.arrived_at).where(of_label.c.id == label.c.video_id)
    is_imported = label.c.created_at == arrived.scalar_subquery()
    return or_(label.c.source == "folder", and_(label.c.source == "csv", is_imported))


def came_labelled(video_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether a new video came with its label, and did not arrive by itself."""
    with_it = and_(labels.c.video_id == video_id, came_with_video())
    return select(labels.c.id).where(with_it).exists()


def awaits_random_review(video: FromClause = videos) -> ColumnElement[bool]:
    """Whether a video is of the random share, and was not reviewed as such.

    A review whose label was taken back does not count, until the same person labels the video anew:
    then it is done, and says nothing of how often the model is right.
    """
    return and_(video.c.sampled, not_(_is_reviewed(video)), not_(_is_labelled_anew(video)))


def is_left_out(video: FromClause = videos) -> ColumnElement[bool]:
    """Whether a video of the random share was labelled anew by who had seen its prediction."""
    return and_(video.c.sampled, not_(_is_reviewed(video)), _is_labelled_anew(video))


def _is_reviewed(video: FromClause) -> ColumnElement[bool]:
    given = and_(labels.c.video_id == video.c.id, labels.c.sampled, stands())
    return select(labels.c.id).where(given).exists()


def _is_labelled_anew(video: FromClause) -> ColumnElement[bool]:
    """Whether a blind label was taken back, and its person has labelled the video since."""
    blind = labels.alias()
    again = labels.alias()
    is_by_same = and_(again.c.video_id == blind.c.video_id, again.c.who == blind.c.who)
    # By the times: a renamed class gives labels new ids.
    is_since = and_(not_(again.c.sampled), again.c.created_at > blind.c.created_at, stands(again))
    was_blind = and_(blind.c.video_id == video.c.id, blind.c.sampled)
    return select(again.c.id).where(was_blind, is_by_same, is_since).exists()


def seen_by(connection: Connection, contents: Collection[int], who: str) -> set[int]:
    """Those of these contents that a person has labelled blind, and so knows the prediction of.

    Also if the label was taken back since.
    """
    query = select(labels.c.video_id).where(labels.c.video_id.in_(contents), labels.c.sampled)
    return set(connection.scalars(query.where(labels.c.who == who)))


def is_blind() -> ColumnElement[bool]:
    """Whether nothing that tells of the class of a row of `videos` may be shown yet.

    Its content awaits its random review: as `awaits_random_review`, also of copies.
    """
    first = videos.alias()
    is_it = and_(first.c.id == content_of_video(), awaits_random_review(first))
    return select(first.c.id).where(is_it).exists()


def blind_ids() -> Select[Any]:
    """The contents that await their random review: an index gives them.

    Copies of them are blind, too, and are not among them.
    """
    is_first = videos.c.duplicate_of.is_(None)
    return select(videos.c.id).where(awaits_random_review(), is_first)

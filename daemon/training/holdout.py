"""Which labelled clips train models, and which judge them.

Each group has a side, "training" or "holdout", for all its clips. The side is noted for each clip,
too, under the clip's own group: a group that was guessed may have another name or other clips
tomorrow, and no clip that judged may train because of that.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import NamedTuple

from sqlalchemy import Connection, Engine, and_, bindparam, delete, insert, not_, select

from daemon.database.expressions import is_for_champion, own_group, that_counts
from daemon.database.tables import groups, labels, part_labels, predictions, videos
from daemon.labels.enough import HOLDOUT_CLIPS, HOLDOUT_GROUPS, LEAST_GROUPS, what_is_missing
from daemon.labels.groups import LabelledGroups, labelled_groups
from daemon.labels.queries import came_labelled, came_with_video, newest
from learner.window_plan import part_name

TrainingClip = tuple[str, str, str]
"""A clip that a model was trained on: its SHA-256, label and group, as in the model's manifest."""

# A label is not biased if so large a share of the clips that came around its clip, so many before
# and so many after, have a label, too.
AROUND = 10
LABELLED_SHARE = 0.9


@dataclass(frozen=True)
class LabelledVideo:
    """A predicted video whose newest label is a class, or a part of one that has a label."""

    video_id: int
    label_id: int
    """The id of its label, of a video or of a part."""
    sha256: str
    """Of its content; of a part, as `part_name` gives it."""
    path: bytes
    group: str
    class_name: str
    biased: bool
    """Whether it may have been labelled because of its prediction.

    People correct wrong predictions, and review first what the model was unsure of. Such labels
    train models, but say little of how good the model is that predicted: they must not judge
    classes that the champion knows. A label is not biased if its clip came with it, if the clip was
    drawn at random for review, or if nearly all clips that came around it are labelled, too. A part
    always is: people choose parts by what was predicted.
    """
    part: tuple[float, float] | None = None
    """When it begins and ends, in seconds, if it is a part of a video."""


class ClassCount(NamedTuple):
    """How many clips of a class train models, and how many groups these are of."""

    class_name: str
    clips: int
    groups: int


def assign_sides(
    engine: Engine,
    clips: Sequence[LabelledVideo],
    share: float,
    trained_on: Sequence[TrainingClip],
    excluded: Collection[str],
    now: datetime,
) -> dict[str, str]:
    """Give each labelled group that has no side one; gives the side of each group.

    Args:
        engine: Of the database.
        clips: The labelled videos. They were read before, since that takes seconds if there are
            many, and nothing else can write meanwhile.
        share: The setting `holdout_share`.
        trained_on: The clips that the champion was trained on.
        excluded: SHA-256 of other content that must not judge: what the starter was trained on.
        now: The time that is noted with the new sides.
    """
    with engine.begin() as connection:
        sides = _sides(connection)
    if not sides_of_new_groups(clips, sides, share, trained_on, excluded):
        return sides
    with engine.execution_options(writes=True).begin() as connection:
        sides = _sides(connection)  # another process may have given some
        new = sides_of_new_groups(clips, sides, share, trained_on, excluded)
        rows = [{"name": name, "side": side, "dealt_at": now} for name, side in new.items()]
        if rows:
            before = delete(groups).where(groups.c.name == bindparam("before"))
            connection.execute(before, [{"before": name} for name in new])
            connection.execute(insert(groups), rows)
    return sides | new


def _sides(connection: Connection) -> dict[str, str]:
    """The sides of the groups that have one, by name."""
    return {row.name: row.side for row in connection.execute(select(groups.c.name, groups.c.side))}


def labelled_videos(
    connection: Connection, found: LabelledGroups | None = None
) -> list[LabelledVideo]:
    """The predicted videos whose newest label is a class, the oldest labels first; then the parts.

    A part is a clip of its own in the group of its video, so that both are always on one side.

    Args:
        connection: To the database.
        found: Their groups, if these were found already in the same transaction.
    """
    grouped = found or labelled_groups(connection)
    group_names = grouped.names
    label = newest().subquery()
    prediction = and_(predictions.c.video_id == videos.c.id, that_counts())
    columns = (label.c[name] for name in ("id", "video_id", "verdict", "class", "sampled"))
    with_it = came_with_video(label).label("came_with_it")
    query = (
        select(*columns, with_it, videos.c.sha256, videos.c.path)
        .join(videos, videos.c.id == label.c.video_id)
        .join(predictions, prediction)
        .where(is_for_champion(videos.c.id))
        .order_by(label.c.id)
    )
    rows = connection.execute(query).mappings().all()
    unbiased = _among_labelled(connection, {row["video_id"] for row in rows})
    whole = [
        LabelledVideo(
            video_id=row["video_id"],
            label_id=row["id"],
            sha256=row["sha256"],
            path=row["path"],
            group=group_names[row["video_id"]],
            class_name=row["class"],
            biased=not (row["sampled"] or row["came_with_it"] or row["video_id"] in unbiased),
        )
        for row in rows
        if row["verdict"] == "labelled"
    ]
    return whole + _labelled_parts(connection, grouped)


def _labelled_parts(connection: Connection, grouped: LabelledGroups) -> list[LabelledVideo]:
    """The parts that have labels, the oldest first."""
    ids = {one.video_id for one in grouped.parts if one.video_id in grouped.names}
    if not ids:
        return []
    files = select(videos.c.id, videos.c.path, videos.c.sha256).where(videos.c.id.in_(ids))
    rows = {row.id: row for row in connection.execute(files)}
    return [
        LabelledVideo(
            video_id=one.video_id,
            label_id=one.id,
            sha256=part_name(rows[one.video_id].sha256, one.part.start, one.part.end),
            path=rows[one.video_id].path,
            group=grouped.names[one.video_id],
            class_name=one.class_name,
            biased=True,
            part=(one.part.start, one.part.end),
        )
        for one in grouped.parts
        if one.video_id in rows
    ]


def count_training_clips(
    connection: Connection, least: int = 0, most: int | None = None
) -> list[ClassCount]:
    """Count the labelled clips and parts of each class that are not on the holdout side.

    Args:
        connection: To the database.
        least: How many clips of a class are enough to learn it.
        most: How many clips of each class are counted at most, the newest ones. All are, if a class
            lacks something by these. None: all.
    """
    counts = _count_training_clips(connection, most)
    if most is None or all(what_is_missing(one.clips, one.groups, least) is None for one in counts):
        return counts
    return _count_training_clips(connection, None)


def _count_training_clips(connection: Connection, most: int | None) -> list[ClassCount]:
    found = labelled_groups(connection, most)
    is_holdout = groups.c.side == "holdout"
    held_out = set(connection.execute(select(groups.c.name).where(is_holdout)).scalars())
    clips = Counter[str]()
    of_class = defaultdict(set)
    of_parts = [(one.video_id, one.class_name) for one in found.parts]
    for video, class_name in (*found.classes.items(), *of_parts):
        if video in found.names and held_out.isdisjoint((found.names[video], own_group(video))):
            clips[class_name] += 1
            of_class[class_name].add(found.names[video])
    return [ClassCount(name, n, len(of_class[name])) for name, n in clips.items()]


def ever_labelled(connection: Connection) -> set[str]:
    """SHA-256 of all content that has or had a label; of a part, as `part_name` gives it."""
    whole = select(videos.c.sha256).join(labels).where(videos.c.sha256.is_not(None)).distinct()
    columns = (videos.c.sha256, part_labels.c.start_s, part_labels.c.end_s)
    parts = select(*columns).join(part_labels).where(videos.c.sha256.is_not(None)).distinct()
    found = set(connection.scalars(whole))
    return found | {part_name(*row) for row in connection.execute(parts)}


def _among_labelled(connection: Connection, labelled: set[int]) -> set[int]:
    """Those of the labelled videos around which nearly all that came are labelled, too."""
    if not labelled:
        return set()
    came = _came_around(connection, min(labelled), max(labelled))
    # labelled_before[i]: how many of the first i videos are labelled.
    labelled_before = [0, *accumulate(video in labelled for video in came)]
    found = set()
    for place, video in enumerate(came):
        first = max(0, place - AROUND)
        end = min(len(came), place + AROUND + 1)
        n = labelled_before[end] - labelled_before[first]
        if video in labelled and n >= LABELLED_SHARE * (end - first):
            found.add(video)
    return found


def _came_around(connection: Connection, first: int, last: int) -> list[int]:
    """The predicted videos from one id to another, and some before and after, in this order.

    Those that came with a label are left out.
    """
    video = predictions.c.video_id
    came = select(video).where(that_counts(), not_(came_labelled(video)))
    before = came.where(video < first).order_by(video.desc()).limit(AROUND)
    within = came.where(video.between(first, last)).order_by(video)
    after = came.where(video > last).order_by(video).limit(AROUND)
    ids_before = list(connection.execute(before).scalars())
    ids_within = connection.execute(within).scalars()
    ids_after = connection.execute(after).scalars()
    return [*reversed(ids_before), *ids_within, *ids_after]


def sides_of_new_groups(
    clips: Sequence[LabelledVideo],
    sides: Mapping[str, str],
    share: float,
    trained_on: Sequence[TrainingClip],
    excluded: Collection[str] = (),
) -> dict[str, str]:
    """Choose the sides of the groups that have none, so that each class has its share of holdout.

    Gives the sides that are to be noted, of groups and of the own groups of clips. A clip that had
    a side in another group brings it with it. Where both sides come together, as when a clip that
    looks like two groups joins them, all train: no clip that a model learned from judges.

    A group counts for the class that most of its clips have. It may judge only if

    - the champion and the starter were trained on none of its clips,
    - the champion was not trained on another clip of the group,
    - not all of its clips are biased, or the champion does not know the class: biased clips cannot
      judge a known class,
    - the class has enough clips and groups, with those that the champion was trained on: before
      that, all clips train, and cross-validation judges,
    - two other groups of the class train models, and
    - with the whole group, the holdout of the class is at least as near to its share as without.

    Args:
        clips: The labelled videos, the oldest labels first.
        sides: The sides that are noted.
        share: Which share of the clips of each class judges.
        trained_on: The clips that the champion was trained on.
        excluded: SHA-256 of other content that must not judge.
    """
    contents = {sha256 for sha256, _, _ in trained_on} | set(excluded)
    known_classes = {label for _, label, _ in trained_on}
    known_groups = {group for _, _, group in trained_on}
    training_groups: dict[str, set[str]] = defaultdict(set)  # by class
    for _, label, group in trained_on:
        training_groups[label].add(group)
    can_spare = _classes_that_can_spare(clips, trained_on)
    total = Counter[str]()  # clips, by class
    holdout = Counter[str]()
    chosen: dict[str, str] = {}
    given = _given_sides(clips, sides)
    for group, members in _those_with_a_side_first(clips, given):
        label = Counter(clip.class_name for clip in members).most_common(1)[0][0]
        n = len(members)
        total[label] += n
        side = given.get(group)
        if side is None:
            is_seen = group in known_groups or any(clip.sha256 in contents for clip in members)
            cannot_judge = label in known_classes and all(clip.biased for clip in members)
            has_training = len(training_groups[label]) >= LEAST_GROUPS
            # As a whole or not at all, so that the share is met as nearly as groups allow: with the
            # group, the holdout is as near to the share or nearer if half of the group fits.
            has_room = holdout[label] + n / 2 <= share * total[label]
            is_able = not is_seen and not cannot_judge and label in can_spare
            may_judge = is_able and has_training and has_room
            side = "holdout" if may_judge else "training"
        chosen |= {group: side, **{own_group(clip.video_id): side for clip in members}}
        if side == "holdout":
            holdout[label] += n
        else:
            training_groups[label].add(group)
    return {name: side for name, side in chosen.items() if sides.get(name) != side}


def _given_sides(clips: Sequence[LabelledVideo], sides: Mapping[str, str]) -> dict[str, str]:
    """The sides of the groups that have one, themselves or by one of their clips."""
    given: dict[str, str] = {}
    for clip in clips:
        of_clip = {sides.get(clip.group), sides.get(own_group(clip.video_id))}
        if "training" in of_clip:
            given[clip.group] = "training"
        elif "holdout" in of_clip:
            given.setdefault(clip.group, "holdout")
    return given


def _classes_that_can_spare(
    clips: Sequence[LabelledVideo], trained_on: Sequence[TrainingClip]
) -> set[str]:
    """The classes that have so many clips, of so many groups, that some can judge."""
    contents: dict[str, set[str]] = defaultdict(set)
    of_class: dict[str, set[str]] = defaultdict(set)
    own = [(clip.sha256, clip.class_name, clip.group) for clip in clips]
    labelled = {sha256 for sha256, _, _ in own}
    others = [clip for clip in trained_on if clip[0] not in labelled]
    for sha256, label, group in (*own, *others):
        contents[label].add(sha256)
        of_class[label].add(group)
    return {
        label
        for label in contents
        if len(contents[label]) >= HOLDOUT_CLIPS and len(of_class[label]) >= HOLDOUT_GROUPS
    }


def _those_with_a_side_first(
    clips: Sequence[LabelledVideo], sides: Mapping[str, str]
) -> list[tuple[str, list[LabelledVideo]]]:
    """The groups and their clips: first those that have a side, then the others."""
    members: dict[str, list[LabelledVideo]] = defaultdict(list)
    for clip in clips:
        members[clip.group].append(clip)
    return sorted(members.items(), key=lambda item: item[0] not in sides)

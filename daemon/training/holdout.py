"""Which labelled clips a model learns from, and which judge it: whole groups stand on one side, for ever."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate

from sqlalchemy import (
    Connection,
    Engine,
    and_,
    distinct,
    func,
    insert,
    not_,
    select,
)

from daemon.database.tables import (
    group_of_video,
    groups,
    labels,
    own_group,
    predictions,
    that_counts,
    videos,
)
from daemon.labels.queries import came_labelled, newest

Taught = tuple[str, str, str]

# A label judges where so large a share of the clips that came around it, so many before and after, have one, too.
AROUND, LABELLED = 10, 0.9


@dataclass(frozen=True)
class LabelledVideo:
    """An answered video with the label that counts; `picked` where it may have been looked at because of its answer.

    Corrections are made where an answer is wrong, and what is reviewed first is what a model was unsure of: they teach,
    but say little of how good the model is that answered. A clip is not picked where it came with its label, or was
    drawn at random for review, or where nearly all that came around it are labelled, too.
    """

    video_id: int
    label_id: int
    sha256: str
    path: bytes
    group: str
    class_name: str
    answer: str
    picked: bool


def deal(
    engine: Engine, share: float, taught: Sequence[Taught], barred: Collection[str], now: datetime
) -> dict[str, str]:
    """Put each labelled group that stands nowhere yet on a side for ever; gives the side of each group.

    `taught` are the clips that the champion has learned from, as (SHA-256, class, group). Nor does other content judge
    that is `barred`: what the starter has learned from.
    """
    with engine.execution_options(writes=True).begin() as write:
        sides = {row.name: row.side for row in write.execute(select(groups))}
        new = fill(labelled(write), sides, share, taught, barred)
        if new:
            rows = [{"name": name, "side": side, "dealt_at": now} for name, side in new.items()]
            write.execute(insert(groups), rows)
    return sides | new


def labelled(read: Connection) -> list[LabelledVideo]:
    """The answered videos that are of a class, by a person's word, the oldest labels first."""
    given = newest().subquery()
    answer = and_(predictions.c.video_id == videos.c.id, that_counts())
    columns = (
        videos.c.sha256,
        videos.c.path,
        videos.c.group,
        videos.c.id,
        predictions.c["class"].label("answer"),
    )
    query = (
        select(given, *columns)
        .join(videos, videos.c.id == given.c.video_id)
        .join(predictions, answer)
    )
    rows = read.execute(query.order_by(given.c.id)).mappings().all()
    whole = _wholly_labelled(read, {row["video_id"] for row in rows})
    return [
        LabelledVideo(
            row["video_id"],
            row["id"],
            row["sha256"],
            row["path"],
            row["group"] or own_group(row["video_id"]),
            row["class"],
            row["answer"],
            not (row["sampled"] or row["source"] == "folder" or row["video_id"] in whole),
        )
        for row in rows
        if row["verdict"] == "labelled"
    ]


def training_counts(read: Connection) -> list[tuple[str, int, int]]:
    """The classes, each with its number of clips that do not judge, and of the groups of these."""
    given = newest().where(labels.c.verdict == "labelled").subquery()
    answer = and_(predictions.c.video_id == videos.c.id, that_counts())
    group = group_of_video()
    counted = (
        select(given.c["class"], func.count(), func.count(distinct(group)))
        .join(videos)
        .join(predictions, answer)
    )
    learned = counted.outerjoin(groups, groups.c.name == group).where(
        groups.c.side.is_distinct_from("holdout")
    )
    return [
        (name, n, recordings)
        for name, n, recordings in read.execute(learned.group_by(given.c["class"]))
    ]


def _wholly_labelled(read: Connection, told: set[int]) -> set[int]:
    """Of these videos, those around which nearly all that came were labelled, too."""
    if not told:
        return set()
    came = _around(read, min(told), max(told))
    labelled_before = [0, *accumulate(video in told for video in came)]
    found = set()
    for place, video in enumerate(came):
        first, end = max(0, place - AROUND), min(len(came), place + AROUND + 1)
        if video in told and labelled_before[end] - labelled_before[first] >= LABELLED * (
            end - first
        ):
            found.add(video)
    return found


def _around(read: Connection, first: int, last: int) -> list[int]:
    """The answered videos from one to another, and some before and after; without those that came with a label."""
    video = predictions.c.video_id
    answered = select(video).where(that_counts(), not_(came_labelled(video))).order_by(video)
    before = read.execute(
        answered.where(video < first).order_by(None).order_by(video.desc()).limit(AROUND)
    ).scalars()
    within = read.execute(answered.where(video.between(first, last))).scalars()
    after = read.execute(answered.where(video > last).limit(AROUND)).scalars()
    return [*reversed(list(before)), *within, *after]


def fill(
    clips: Sequence[LabelledVideo],
    sides: Mapping[str, str],
    share: float,
    taught: Sequence[Taught],
    barred: Collection[str] = (),
) -> dict[str, str]:
    """The sides of the groups that stand nowhere yet, so that each class's holdout fills to `share` of its clips.

    A class needs two groups to learn from before one can judge. What was learned from never judges, nor does any other
    clip of its group; nor do clips of a class known already that were picked, since they could not.
    """
    contents = {sha256 for sha256, _, _ in taught} | set(barred)
    known, taught_labels = {group for _, _, group in taught}, {label for _, label, _ in taught}
    groups_of: dict[str, list[LabelledVideo]] = defaultdict(list)
    for clip in clips:
        groups_of[clip.group].append(clip)
    learned: dict[str, set[str]] = defaultdict(set)
    for _, label, group in taught:
        learned[label].add(group)
    total, held, new = Counter[str](), Counter[str](), dict[str, str]()
    for group, members in sorted(groups_of.items(), key=lambda item: item[0] not in sides):
        label, n = Counter(clip.class_name for clip in members).most_common(1)[0][0], len(members)
        total[label] += n
        side = sides.get(group)
        if side is None:
            is_taught = group in known or any(clip.sha256 in contents for clip in members)
            says_nothing = label in taught_labels and all(clip.picked for clip in members)
            # As a whole or not at all, so that the share is met as nearly as groups allow.
            has_room = held[label] + n / 2 <= share * total[label]
            may_judge = not is_taught and not says_nothing and len(learned[label]) >= 2 and has_room
            side = new[group] = "holdout" if may_judge else "training"
        if side == "holdout":
            held[label] += n
        else:
            learned[label].add(group)
    return new

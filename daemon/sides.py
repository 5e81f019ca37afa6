"""Which labelled clips a model learns from, and which judge it: whole groups stand on one side, for ever."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, and_, insert, select

from daemon.labels import newest
from daemon.tables import groups, predictions, videos

Taught = tuple[str, str, str]

# Labels from these are given because of an answer.
PICKED = ("moved", "accepted", "page")


@dataclass(frozen=True)
class Labelled:
    """An answered video with the label that counts; `picked` where it was looked at because of its answer.

    Corrections are made where an answer is wrong, and what is reviewed first is what a model was unsure of: they teach,
    but say little of how good the model is that answered.
    """

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


def labelled(read: Connection) -> list[Labelled]:
    """The answered videos that are of a class, by a person's word, the oldest labels first."""
    given = newest().subquery()
    answer = and_(predictions.c.video_id == videos.c.id, predictions.c.kind == "answer")
    columns = (videos.c.sha256, videos.c.path, videos.c.group, videos.c.id, predictions.c["class"].label("answer"))
    query = select(given, *columns).join(videos, videos.c.id == given.c.video_id).join(predictions, answer)
    rows = read.execute(query.where(given.c.verdict == "labelled").order_by(given.c.id)).mappings().all()
    by_command = [row["class"] == row["answer"] for row in rows if row["source"] == "command"]
    corrects = bool(by_command) and not any(by_command)  # not one right answer among them: they are corrections alone
    return [
        Labelled(
            row["id"],
            row["sha256"],
            row["path"],
            row["group"] or f"#{row['video_id']}",
            row["class"],
            row["answer"],
            not row["sampled"] and (row["source"] in PICKED or (corrects and row["source"] == "command")),
        )
        for row in rows
    ]


def fill(
    clips: Sequence[Labelled],
    sides: Mapping[str, str],
    share: float,
    taught: Sequence[Taught],
    barred: Collection[str] = (),
) -> dict[str, str]:
    """The sides of the groups that stand nowhere yet, so that each class's holdout fills to `share` of its clips.

    A class needs two groups to learn from before one can judge. What was learned from never judges, nor does any other
    clip of its group.
    """
    contents = {sha256 for sha256, _, _ in taught} | set(barred)
    known = {group for _, _, group in taught}
    groups_of: dict[str, list[Labelled]] = defaultdict(list)
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
            may_judge = not is_taught and len(learned[label]) >= 2 and held[label] < share * total[label]
            side = new[group] = "holdout" if may_judge else "training"
        if side == "holdout":
            held[label] += n
        else:
            learned[label].add(group)
    return new

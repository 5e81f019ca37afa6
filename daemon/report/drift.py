"""Whether what comes in has changed: this week's answers against those of the four weeks before. Only reads."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from sqlalchemy import Connection, and_, func, not_, select

from daemon.database.tables import models, own_group, predictions, that_counts, videos
from daemon.labels.queries import came_labelled
from daemon.report.statistics import Tally, chi_square_term, p_value_of_classes, p_value_of_unsure

WEEK, BEFORE = timedelta(days=7), timedelta(days=28)
LOOKED_AT = 5000  # of the clips of these five weeks
LEAST_GROUPS = 30  # on each side
ODDS = 0.01


@dataclass(frozen=True)
class Seen:
    """An answer; `group` is the clip's own where it has none. `sampled`: it is of the random share."""

    model: str
    group: str
    class_name: str
    unsure: bool
    sampled: bool


@dataclass(frozen=True)
class Recent:
    """The answers of the last seven days and of the 28 days before; where they are many, some of them, evenly drawn."""

    week: list[Seen]
    before: list[Seen]


def recent(read: Connection, now: datetime) -> Recent:
    """The answers of the last five weeks.

    `status` asks for them every second: of many clips it looks at LOOKED_AT at most, the same ones the next time.
    """
    since = now - WEEK - BEFORE
    is_answer = that_counts()
    oldest = select(predictions.c.video_id).where(predictions.c.created_at >= since, is_answer)
    first = read.scalar(oldest.order_by(predictions.c.created_at).limit(1))
    if first is None:
        return Recent([], [])
    some = _some(first, read.scalar(select(func.max(videos.c.id))) or first)
    age = (
        (predictions.c.created_at >= now - WEEK).label("is_new"),
        (predictions.c.created_at >= since).label("counts"),
    )
    columns = (
        models.c.name.label("model"),
        predictions.c["class"].label("name"),
        predictions.c.doubt,
        *age,
    )
    answered = and_(predictions.c.video_id == videos.c.id, is_answer)
    query = select(videos.c.id, videos.c.group, videos.c.sampled, *columns).join_from(
        videos, predictions, answered
    )
    query = query.join(models).where(videos.c.id.in_(some), not_(came_labelled(videos.c.id)))
    sides: dict[bool, list[Seen]] = {True: [], False: []}
    for row in read.execute(query):
        if row.counts:
            seen = Seen(
                row.model,
                row.group or own_group(row.id),
                row.name,
                row.doubt is not None,
                row.sampled,
            )
            sides[row.is_new].append(seen)
    return Recent(sides[True], sides[False])


def compare(found: Recent) -> list[str]:
    """Warnings, in plain words, that more is unsure this week than before, or the classes are others, beyond chance.

    Only answers of one model are compared: another one makes other mistakes, and doubts other clips, when the same
    videos come in. It is the one that answered most this week, of those that answered enough on both sides; for a while
    after another has taken over, nothing can be said. Clips of one recording are alike: each group is one observation.

    The odds of a false warning are about 1 in 100 at any one look, shared by both tests (Bonferroni). One week is
    tested at a time, and the week moves on: who looks all year has to expect two false warnings, of a day or two each
    (simulated with 10 to 200 recordings a day).
    """
    sides = {
        model: (_tally(found.week, model), _tally(found.before, model))
        for model in {s.model for s in found.week}
    }
    enough = {
        model: both for model, both in sides.items() if min(side.n for side in both) >= LEAST_GROUPS
    }
    if not enough:
        return []
    week, before = enough[max(enough, key=lambda model: (enough[model][0].n, model))]
    said = []
    if p_value_of_unsure(week, before) < ODDS / 2:
        said.append(f"unsure answers: {_shares(week.unsure / week.n, before.unsure / before.n)}")
    if p_value_of_classes(week, before) < ODDS / 2:
        name = max(
            {*week.classes, *before.classes},
            key=lambda name: (chi_square_term(week, before, [name]), name),
        )
        shares = _shares(week.of([name]) / week.n, before.of([name]) / before.n)
        said.append(f"other classes than before, above all {name}: {shares}")
    return said


def _shares(new: float, old: float) -> str:
    return (
        f"{new:.0%} of the last 7 days, {old:.0%} of the 28 days before; that is more than chance"
    )


def _tally(seen: Sequence[Seen], model: str) -> Tally:
    """A group of several clips is an observation of their shares."""
    own = [one for one in seen if one.model == model]
    size = Counter(one.group for one in own)
    classes = defaultdict[str, float](float)
    for one in own:
        classes[one.class_name] += 1 / size[one.group]
    return Tally(len(size), sum(one.unsure / size[one.group] for one in own), classes)


def _some(first: int, last: int) -> list[int]:
    """All numbers, or one of each 2, 4, 8...: at no fixed distance, since several cameras may take turns."""
    step = 1
    while (last - first) // step >= LOOKED_AT - 1:
        step *= 2
    return [
        block * step + crc32(b"%d" % block) % step
        for block in range(first // step, last // step + 1)
    ]

"""How many videos there are of each class, by when they were recorded or came, and from where.

All of it is counted at once, in small slots of time, and kept: a page draws many pictures of it.
Clips of the random share that wait for their review are left out: they would tell the prediction.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

from sqlalchemy import Connection, Text, case, cast, func, literal, select

from daemon.database.expressions import that_counts
from daemon.database.tables import predictions, videos
from daemon.home.clock import now
from daemon.labels.classes import changed_names
from daemon.labels.queries import awaits_random_review, newest

UNSURE = ""
"""Stands for the class of what is of no class: the person was unsure, or else the model."""
# Characters of a time: of an hour, "2026-01-31 23", or of ten minutes, "2026-01-31 23:5".
HOUR = 13
TEN_MINUTES = 15

By = Literal["recorded", "came"]
"""Which time counts: when a video was recorded, as the file or its name says, or when it came."""


class Slot(NamedTuple):
    """Videos of one class and one source within an hour.

    Within ten minutes if the person's zone is not whole hours away from UTC.
    """

    at: datetime
    """When this time began, in the person's zone."""
    source: str
    """Empty if it is the inbox itself."""
    class_name: str
    """By the label, or else by a prediction that is not unsure; else `UNSURE`."""
    n: int


@dataclass(frozen=True)
class Activity:
    """All that was counted."""

    slots: list[Slot]
    """The earliest first."""
    unknown: int
    """How many videos are left out since nothing says when they were recorded."""
    waiting: int
    """How many are left out since they are of the random share, and wait for their review."""

    def within(self, first: date, last: date) -> list[Slot]:
        """The slots of some days, the last one included."""
        begin = bisect_left(self.slots, first, key=_day)
        return self.slots[begin : bisect_right(self.slots, last, key=_day)]


def read_activity(connection: Connection, by: By, zone: tzinfo | None) -> Activity:
    """Count all predicted videos, copies of earlier ones left out.

    Args:
        connection: To the database.
        by: Which time counts.
        zone: Of the person; None for the zone of this machine.
    """
    is_stated = videos.c.recorded_by.in_(("container", "name"))
    at = case((is_stated, videos.c.recorded_at)) if by == "recorded" else videos.c.arrived_at
    slot = case(
        (awaits_random_review(), literal("waiting")),
        else_=func.substr(cast(at, Text), 1, _length(zone)),
    )
    label = newest().subquery()
    predicted = case((predictions.c.doubt.is_(None), predictions.c["class"]))
    query = select(
        slot.label("slot"),
        videos.c.source.label("came_from"),
        label.c.id.is_not(None).label("is_labelled"),
        case((label.c.id.is_not(None), label.c["class"]), else_=predicted).label("class_name"),
        func.count().label("n"),
    )
    query = query.join_from(predictions, videos, videos.c.id == predictions.c.video_id)
    query = query.outerjoin(label, label.c.video_id == videos.c.id)
    # By a name that no table has: by "source", it would be grouped by the source of the label.
    query = query.where(that_counts()).group_by("slot", "came_from", "is_labelled", "class_name")
    renamed = changed_names(connection)
    slots = Counter[tuple[str, str, str]]()
    left_out = Counter[str | None]()
    for at_text, source, is_labelled, name, n in connection.execute(query):
        if at_text in (None, "waiting"):
            left_out[at_text] += n
            continue
        by_now = name if is_labelled else renamed.get(name) or name
        slots[at_text, source or "", by_now or UNSURE] += n
    moments = {text: _moment(text, zone) for text, _, _ in slots}
    found = [Slot(moments[text], source, name, n) for (text, source, name), n in slots.items()]
    return Activity(sorted(found), left_out[None], left_out["waiting"])


def most_common(slots: Iterable[Slot], most: int) -> list[str]:
    """The classes with most videos; `UNSURE` is none of them."""
    n = Counter[str]()
    for slot in slots:
        n[slot.class_name] += slot.n
    del n[UNSURE]
    return sorted(n, key=lambda name: (-n[name], name))[:most]


def begin_of(day: date, days: int) -> date:
    """The first day of the span of one day, week (7), or month (more) that a day is in."""
    if days <= 1:
        return day
    return day - timedelta(days=day.weekday()) if days == 7 else day.replace(day=1)


def _day(slot: Slot) -> date:
    return slot.at.date()


def _length(zone: tzinfo | None) -> int:
    offset = now().astimezone(zone).utcoffset() or timedelta()
    return TEN_MINUTES if offset % timedelta(hours=1) else HOUR


def _moment(text: str, zone: tzinfo | None) -> datetime:
    whole = f"{text}:00" if len(text) == HOUR else f"{text}0"
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).astimezone(zone)

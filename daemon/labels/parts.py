"""What people say of parts of long videos: labels of their own, which move no file.

Labels of parts are never changed or removed. One counts unless it is taken back, or a newer one
covers all of its part. So to label a part once more corrects it, and to label a longer part
replaces what was said of parts of it.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Select,
    and_,
    func,
    insert,
    not_,
    select,
)

from daemon.database.connection import new_id
from daemon.database.events import note_labels
from daemon.database.expressions import is_for_champion, part_stands
from daemon.database.tables import part_labels, videos, windows
from daemon.home.texts import clock
from daemon.labels.classes import require_class_names
from daemon.labels.labels import Origin, Source
from daemon.labels.queries import find
from learner.errors import VidwatchError

# Times that differ by less are the same: they are stored as floats of exact fractions.
ROUNDING = 1e-4  # seconds
# People give times as they are shown: to a thousandth, or to a second, rounded down.
SHOWN_TO = 1e-3  # seconds
SHORTEST = 0.1  # seconds
# People give times as they are shown, without fractions of a second.
UNDO_WITHIN = 1.0  # seconds
_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)", re.ASCII)


@dataclass(frozen=True)
class Part:
    """A part of a video, in seconds from its first picture."""

    start: float
    end: float

    def __str__(self) -> str:
        return f"{clock(self.start)} to {clock(self.end)}"


@dataclass(frozen=True)
class PartLabel:
    """A label of a part that counts."""

    id: int
    video_id: int
    part: Part
    class_name: str
    who: str
    source: Source
    at: datetime


class PartLabels:
    """The labels of the parts of all videos."""

    def __init__(self, engine: Engine) -> None:
        self._writer = engine.execution_options(writes=True)

    def add(
        self, video: int, part: Part, class_name: str, origin: Origin, *, new_class: bool = False
    ) -> PartLabel:
        """Label a part of a video; gives the label.

        Args:
            video: The video.
            part: A part of it. One that ends after the video is cut to its length.
            class_name: Its class, in whatever form means it.
            origin: Where the label comes from.
            new_class: Whether a class that is nearly another one is meant.

        Raises:
            VidwatchError: the video does not exist or has no windows, it has no such part, or the
                name can be no class.
            DidYouMeanError: the class is new, and nearly another one.
        """
        with self._writer.begin() as connection:
            content = _require_content(connection, video)
            within = _require_part(connection, content, video, part)
            names = require_class_names(connection, {class_name}, may_be_new=new_class)
            columns = _columns(content, within, names[class_name], origin)
            new = new_id(connection.execute(insert(part_labels).values(**columns)))
            note_labels(connection, part_labels.c.id == new, origin.at, part_labels)
            where_from = (origin.who, origin.source, origin.at)
            return PartLabel(new, content, within, names[class_name], *where_from)

    def undo(self, video: int, part: Part, origin: Origin) -> PartLabel:
        """Take the label of a part back; gives it. What it had replaced counts again.

        Raises:
            VidwatchError: no label of that part counts.
        """
        with self._writer.begin() as connection:
            content = _require_content(connection, video)
            counts = labels_of_parts(connection, content)
            nearest = min(counts, key=lambda one: _distance(one.part, part), default=None)
            if nearest is None or _distance(nearest.part, part) >= UNDO_WITHIN:
                has = ", ".join(str(one.part) for one in counts)
                hint = f"it has labels of {has}" if has else "none of its parts has one"
                raise VidwatchError(f"video {video} has no label of {part}; {hint}")
            _take_back(connection, nearest, origin)
            _note_undone(connection, nearest, origin)
            return nearest

    def undo_given(self, label: int, origin: Origin) -> bool:
        """Take one label back, by its id; False if it is taken back already."""
        with self._writer.begin() as connection:
            query = select(part_labels).where(part_labels.c.id == label, part_stands())
            row = connection.execute(query).mappings().first()
            if row is None:
                return False
            _take_back(connection, _label(row), origin)
            _note_undone(connection, _label(row), origin)
            return True


def counting(label: FromClause = part_labels) -> ColumnElement[bool]:
    """Whether a label of a part counts: not taken back, and not covered by a newer one."""
    later = part_labels.alias()
    covers = and_(
        later.c.video_id == label.c.video_id,
        later.c.id > label.c.id,
        later.c.start_s < label.c.start_s + ROUNDING,
        later.c.end_s > label.c.end_s - ROUNDING,
        part_stands(later),
    )
    return and_(part_stands(label), not_(select(later.c.id).where(covers).exists()))


# Built once: `vidwatch find` and `vidwatch events` run it for each long video.
_COUNTING: Select[Any] = select(part_labels).where(counting())


def labels_of_parts(
    connection: Connection, content: int | None = None, class_name: str | None = None
) -> list[PartLabel]:
    """The labels of parts that count, the oldest first.

    Args:
        connection: To the database.
        content: The video that they are of, no duplicate; None for all.
        class_name: The class that they have; None for any.
    """
    query = _COUNTING
    if content is not None:
        query = query.where(part_labels.c.video_id == content)
    if class_name is not None:
        query = query.where(part_labels.c["class"] == class_name)
    rows = connection.execute(query.order_by(part_labels.c.id)).mappings()
    return [_label(row) for row in rows]


def last_part_given(connection: Connection, who: str, source: Source) -> PartLabel | None:
    """The last label that a person gave in this way, and nobody has taken back; None if none."""
    given = and_(part_labels.c.who == who, part_labels.c.source == source, part_stands())
    query = select(part_labels).where(given).order_by(part_labels.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return _label(row) if row else None


def newest_part_label(connection: Connection) -> int:
    """The id of the newest label of all parts, also one that takes another back; 0 if none."""
    newest = select(part_labels.c.id).order_by(part_labels.c.id.desc()).limit(1)
    return connection.scalar(newest) or 0


def new_parts_since(last: int) -> Select[Any]:
    """The classes of the labels that count and are new: `name`, and `n` of each.

    A label is new if it is newer than the label `last`, and its part did not have that class then.
    A class that gets another name gives the labels of its videos anew: most are as before.
    """
    before = part_labels.alias()
    withdrawal = part_labels.alias()
    was_taken_back = and_(withdrawal.c.takes_back == before.c.id, withdrawal.c.id <= last)
    had_it = and_(
        _is_same_part(before, part_labels),
        before.c["class"] == part_labels.c["class"],
        before.c.id <= last,
        not_(select(withdrawal.c.id).where(was_taken_back).exists()),
    )
    is_new = and_(part_labels.c.id > last, not_(select(before.c.id).where(had_it).exists()))
    new = select(part_labels.c["class"].label("name"), func.count().label("n"))
    is_learned = is_for_champion(part_labels.c.video_id)
    return new.where(counting(), is_new, is_learned).group_by(part_labels.c["class"])


def parts_taken_back_since(last: int) -> Select[Any]:
    """How many labels of parts were there at the label `last`, and are taken back since.

    Those do not count whose part has a label again.
    """
    withdrawal = part_labels.alias()
    now = part_labels.alias()
    has_one = select(now.c.id).where(_is_same_part(now, part_labels), counting(now)).exists()
    query = select(func.count()).select_from(part_labels)
    query = query.join(withdrawal, withdrawal.c.takes_back == part_labels.c.id)
    return query.where(withdrawal.c.id > last, part_labels.c.id <= last, not_(has_one))


def give_again(connection: Connection, old: str, new: str | None, who: str, now: datetime) -> None:
    """Give all labels of parts that have a class once more with its new name.

    If `new` is None, they are taken back. All labels of their videos are given again, since their
    order says which ones count. Who gave them, how and when stays.
    """
    has_it = select(part_labels.c.video_id).where(part_labels.c["class"] == old, part_stands())
    query = select(part_labels).where(part_labels.c.video_id.in_(has_it), part_stands())
    rows = connection.execute(query.order_by(part_labels.c.id)).mappings().all()
    given = [_label(row) for row in rows]
    for label in given:
        _take_back(connection, label, Origin("command", who, now))
    for label in given:
        name = new if label.class_name == old else label.class_name
        if name is not None:
            origin = Origin(label.source, label.who, label.at)
            columns = _columns(label.video_id, label.part, name, origin)
            connection.execute(insert(part_labels).values(**columns))


def parse_time(text: str) -> float:
    """The seconds of a time such as "75", "1:15", "0:01:15" or "1:15.5".

    Raises:
        VidwatchError: the text is no time.
    """
    found = _TIME.fullmatch(text.strip())
    if not found:
        raise VidwatchError(f"{text!r} is no time; give it as 75, 1:15 or 0:01:15")
    hours, minutes, seconds = (float(group or 0) for group in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def read_part(start: str, end: str) -> Part:
    """The part between two times as people write them.

    Raises:
        VidwatchError: one is no time, or the part would end before it begins.
    """
    part = Part(parse_time(start), parse_time(end))
    if part.end <= part.start:
        raise VidwatchError(f"the part {part} ends before it begins: exchange the two times")
    return part


def video_length(connection: Connection, content: int) -> float | None:
    """How long a video is that was cut into windows, in seconds; None if it was not."""
    ends = select(func.max(windows.c.end_s)).where(windows.c.video_id == content)
    length: float | None = connection.scalar(ends)
    return length


def _require_content(connection: Connection, video: int) -> int:
    found = find(connection, videos.c.id == video)
    if not found:
        raise VidwatchError(f"there is no video {video}; 'vidwatch status' shows the ids")
    return int(found[video]["content"])


def _require_part(connection: Connection, content: int, video: int, part: Part) -> Part:
    """The part, within the video."""
    length = video_length(connection, content)
    if length is None:
        hint = "only parts of long videos have labels of their own; label it as a whole"
        raise VidwatchError(f"video {video} was not cut into windows: {hint}")
    start = _border(connection, content, max(part.start, 0.0))
    end = _border(connection, content, part.end)
    is_last_second = part.end == int(length)
    within = Part(start, length if is_last_second else min(end, length))
    if within.end - within.start < SHORTEST:
        hint = f"it runs from 0:00:00 to {clock(length)}, and a part begins before it ends"
        raise VidwatchError(f"video {video} has no part from {part}; {hint}")
    return within


def _border(connection: Connection, content: int, time: float) -> float:
    """When the window begins or ends that is shown to do so at a time; else the time itself.

    Else there would be an event of a few microseconds between a label and the next window.
    """
    of_video = windows.c.video_id == content
    for border in (windows.c.start_s, windows.c.end_s):
        is_near = border.between(time - SHOWN_TO, time + SHOWN_TO)
        found: float | None = connection.scalar(select(border).where(of_video, is_near).limit(1))
        if found is not None:
            return found
    return time


def _is_same_part(one: FromClause, other: FromClause) -> ColumnElement[bool]:
    return and_(
        one.c.video_id == other.c.video_id,
        one.c.start_s == other.c.start_s,
        one.c.end_s == other.c.end_s,
    )


def _take_back(connection: Connection, label: PartLabel, origin: Origin) -> None:
    columns = _columns(label.video_id, label.part, None, origin)
    connection.execute(insert(part_labels).values(**columns, takes_back=label.id))


def _note_undone(connection: Connection, label: PartLabel, origin: Origin) -> None:
    note_labels(connection, part_labels.c.takes_back == label.id, origin.at, part_labels)


def _columns(video: int, part: Part, class_name: str | None, origin: Origin) -> dict[str, Any]:
    return {
        "video_id": video,
        "start_s": part.start,
        "end_s": part.end,
        "class": class_name,
        "source": origin.source,
        "who": origin.who,
        "created_at": origin.at,
    }


def _label(row: Any) -> PartLabel:
    return PartLabel(
        id=row["id"],
        video_id=row["video_id"],
        part=Part(row["start_s"], row["end_s"]),
        class_name=row["class"],
        who=row["who"],
        source=row["source"],
        at=row["created_at"],
    )


def _distance(one: Part, other: Part) -> float:
    return max(abs(one.start - other.start), abs(one.end - other.end))

"""What went wrong, as the page shows it: failures and troubles by their reasons, and the log.

Clips of the random share that await their review are shown without their names, and without texts
that name the folder of their class. Only reads.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select

from daemon.classify.trying_again import is_at_rest, is_in_failed
from daemon.database.expressions import lies_below, shown_name
from daemon.database.tables import videos
from daemon.home.folder import Home
from daemon.home.folders import Folders
from daemon.home.logs import Unit, log_files, read_unit
from daemon.labels.queries import is_blind
from daemon.report.log import last_lines
from learner.errors import VidwatchError

MOST_REASONS = 50
SHOWN = 5  # videos of a reason
LOG_LINES = 100
HIDDEN = "its file cannot be moved to where it belongs"
"""Of a clip of the random share, instead of a text that may name its class."""
SHOWN_LATER = "this line is shown when the clip is labelled"
_ID = re.compile(r"\(id=(\d{1,18})\)")
_HEAD = re.compile(r"\S+ \S+ [A-Z]+ ")  # the time and the level of an entry


@dataclass(frozen=True)
class Affected:
    """A video that something is wrong with."""

    id: int
    title: str
    """Its name; of a clip of the random share, its number alone."""
    at: datetime
    """When it arrived."""
    may_be_tried: bool
    """As the function `may_be_tried`."""


@dataclass(frozen=True)
class Reason:
    """What is wrong with some videos."""

    text: str
    n: int
    """How many videos it is wrong with."""
    n_to_try: int
    """How many of them can be tried again, by their rows."""
    newest: tuple[Affected, ...]
    """The newest of them."""


def read_failures(connection: Connection, folders: Folders) -> list[Reason]:
    """Why videos failed or were not filed, the reasons of the newest first.

    Those that a person has forgotten are left out.
    """
    return _by_reason(connection, videos.c.error, is_open_failure(), folders)


def read_troubles(connection: Connection, folders: Folders) -> list[Reason]:
    """Why videos are tried again by themselves, the reasons of the newest first."""
    # What is in trouble and has no prediction is not blind: it is not looked at.
    is_moved = videos.c.destination.is_not(None)
    text = case((and_(is_moved, is_blind()), HIDDEN), else_=videos.c.trouble)
    return _by_reason(connection, text, videos.c.trouble.is_not(None), folders)


def count_failures(connection: Connection) -> int:
    """How many failures and videos that were not filed nobody has forgotten."""
    return connection.scalar(select(func.count()).where(is_open_failure())) or 0


def is_open_failure() -> ColumnElement[bool]:
    """Whether a video failed, or was not filed, and nobody has forgotten that."""
    return and_(videos.c.error.is_not(None), videos.c.forgotten_at.is_(None))


def like(connection: Connection, video: int) -> ColumnElement[bool]:
    """Whether a video failed for the same reason as this one, and not after it.

    `video` is the newest that the person has seen.

    Raises:
        VidwatchError: it is no failure any more.
    """
    error = connection.scalar(select(videos.c.error).where(videos.c.id == video, is_open_failure()))
    if error is None:
        reason = "it was tried again or forgotten since the page was made"
        raise VidwatchError(f"video {video} is not among the failures any more: {reason}")
    return and_(videos.c.error == error, is_open_failure(), videos.c.id <= video)


def read_log(connection: Connection, home: Home) -> tuple[list[str], Unit | None]:
    """The last lines of the daemon's log, the newest last, or the unit whose journal has them.

    A line about a clip of the random share tells what was predicted: it is not shown yet.
    """
    if unit := read_unit(home.logs):
        return [], unit
    if not log_files(home.logs):
        return [], None
    lines = [line.rstrip("\n") for line in last_lines(home.logs, LOG_LINES, None)]
    named = [[int(number) for number in _ID.findall(line)] for line in lines]
    blind = _blind(connection, sorted({number for numbers in named for number in numbers}))
    shown = []
    for line, numbers in zip(lines, named, strict=True):
        hidden = next((number for number in numbers if number in blind), None)
        shown.append(line if hidden is None else _without_text(line, hidden))
    return shown, None


def _without_text(line: str, video: int) -> str:
    head = _HEAD.match(line)
    return f"{head[0] if head else ''}clip {video}: {SHOWN_LATER}"


def _blind(connection: Connection, ids: Sequence[int]) -> set[int]:
    query = select(videos.c.id).where(videos.c.id.in_(ids), is_blind())
    return set(connection.scalars(query))


def _by_reason(
    connection: Connection, text: ColumnElement[Any], is_one: ColumnElement[bool], folders: Folders
) -> list[Reason]:
    named = select(
        videos.c.id,
        text.label("text"),
        case((may_be_tried(folders), 1), else_=0).label("to_try"),
    )
    each = named.where(is_one).subquery()
    newest = func.max(each.c.id).label("newest")
    counted = select(each.c.text, func.count(), func.sum(each.c.to_try)).group_by(each.c.text)
    rows = connection.execute(counted.order_by(newest.desc()).limit(MOST_REASONS)).all()
    return [
        Reason(reason, n, n_to_try, _newest(connection, and_(text == reason, is_one), folders))
        for reason, n, n_to_try in rows
    ]


def _newest(
    connection: Connection, which: ColumnElement[bool], folders: Folders
) -> tuple[Affected, ...]:
    query = select(videos, shown_name(), is_blind().label("is_blind")).where(which)
    rows = connection.execute(query.order_by(videos.c.id.desc()).limit(SHOWN)).mappings()
    return tuple(_affected(row, folders) for row in rows)


def _affected(row: Any, folders: Folders) -> Affected:
    is_there = row["on_filed"] == "leave" or is_in_failed(row["path"], folders)
    return Affected(
        id=row["id"],
        title=f"clip {row['id']}" if row["is_blind"] else row["shown_name"],
        at=row["arrived_at"],
        may_be_tried=is_at_rest(row) and is_there,
    )


def may_be_tried(folders: Folders) -> ColumnElement[bool]:
    """Whether the file of a video is where it can be taken from to be tried again, by its row."""
    is_there = or_(
        videos.c.on_filed == "leave", lies_below(videos.c.path, folders.root + b"/failed")
    )
    at_rest = (videos.c.destination.is_(None), videos.c.moving_to.is_(None))
    return and_(videos.c.state == "failed", *at_rest, func.coalesce(is_there, False))

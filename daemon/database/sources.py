"""Lets the videos that are not done yet follow the settings of the sources that they came from."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    bindparam,
    func,
    not_,
    or_,
    select,
    update,
)

from daemon.database.events import note_failed
from daemon.database.expressions import lies_below
from daemon.database.records import FREED
from daemon.database.tables import videos
from daemon.database.windows import forget_windows
from daemon.home.answering import Answers
from daemon.home.folders import Folders
from daemon.home.identity import Identity, lies_at
from daemon.home.sources import Source
from daemon.home.texts import printable
from learner.texts import counted

log = logging.getLogger(__name__)

_UNPREDICTED = ("waiting", "queued")
REMOVED = "its source is not in the settings any more"


def follow_sources(engine: Engine, folders: Folders, now: datetime) -> None:
    """Let the videos that are not done yet have what the settings say of their sources now.

    What stays now is not moved any more, and nothing of a source that the settings do not have
    any more. Of such a source, what waited for its prediction fails, and is left where it is.
    Archives are in no settings, and stay as they are. No daemon works on any video.

    Args:
        engine: Of the database.
        folders: The home's folders, with the sources.
        now: The time.
    """
    sources = {source.folder: source for source in folders.sources}
    with engine.execution_options(writes=True).begin() as connection:
        inbox = Source(folders.root + b"/inbox", "inbox", folders.on_filed)
        _follow(connection, inbox, and_(videos.c.origin.is_(None), _lies_in(inbox)), now)
        origins = select(videos.c.origin).where(_of_sources()).distinct()
        for origin in connection.scalars(origins).all():
            is_its = and_(_of_sources(), videos.c.origin == origin)
            if origin in sources:
                _follow(connection, sources[origin], is_its, now)
            else:
                _let_go(connection, origin, is_its, now)
        for source in folders.sources:
            if source.stays:
                _adopt(connection, source)


def _of_sources() -> ColumnElement[bool]:
    is_unfinished = videos.c.finished_at.is_(None)
    return and_(is_unfinished, videos.c.origin.is_not(None), not_(videos.c.background))


def _adopt(connection: Connection, source: Source) -> None:
    """Let a source that is in place have the videos that are known of its folder.

    They came by `vidwatch add`, or while the source had another name. What was predicted stays.
    """
    begin = source.name + "/"
    has_name = func.coalesce(videos.c.source, "").concat("/")
    is_other = or_(
        videos.c.origin.is_distinct_from(source.folder),
        func.substr(has_name, 1, len(begin)) != begin,
    )
    stays = and_(_lies_in(source), videos.c.on_filed == "leave", is_other)
    rows = connection.execute(select(videos.c.id, videos.c.path).where(stays)).all()
    if not rows:
        return
    this = update(videos).where(videos.c.id == bindparam("video"))
    place = {"origin": source.folder, "source": bindparam("named")}
    names = [{"video": row.id, "named": source.source_of(row.path)} for row in rows]
    connection.execute(this.values(**place), names)
    text = "source %s: %s in it known before: predictions are kept"
    log.info(text, printable(source.name), counted(len(rows), "video"))


def _lies_in(source: Source) -> ColumnElement[bool]:
    return lies_below(videos.c.path, source.folder)


def _follow(
    connection: Connection, source: Source, is_its: ColumnElement[bool], now: datetime
) -> None:
    """Let these videos have what is set for their source."""
    unpredicted = update(videos).where(is_its, videos.c.state.in_(_UNPREDICTED))
    of_source = {"on_filed": source.on_filed, "own_model": source.model}
    connection.execute(unpredicted.values(**of_source))
    if source.on_filed is not None:
        _keep(connection, source, is_its, now)


def _let_go(
    connection: Connection, origin: bytes, is_its: ColumnElement[bool], now: datetime
) -> None:
    """End what is to be done with the files of a source that is not in the settings any more."""
    these = and_(is_its, videos.c.state.in_(_UNPREDICTED))
    failed = {**FREED, "state": "failed", "error": REMOVED, "finished_at": now}
    ids = connection.scalars(select(videos.c.id).where(these)).all()
    forget_windows(connection, ids)
    connection.execute(update(videos).where(these).values(**failed))
    note_failed(connection, ids)
    _keep(connection, Source(origin, "", "leave"), is_its, now)


def _keep(
    connection: Connection, source: Source, is_its: ColumnElement[bool], now: datetime
) -> None:
    """Let the files stay that were to be moved out of a source, and lie there still.

    Those that were to be copied are copied: that touches none. So is one that may have been moved,
    if it was not.
    """
    is_to_move = and_(videos.c.destination.is_not(None), videos.c.on_filed.is_(None))
    pending = select(videos).where(is_its, is_to_move, _lies_in(source))
    answers = Answers()
    for row in connection.execute(pending).mappings().all():
        change: dict[str, Any] = {**FREED, "on_filed": source.on_filed}
        if row["moving_to"] is None or _is_there(answers, source, row):
            change["moving_to"] = None
            if source.stays:
                state = "filed" if row["state"] == "classified" else row["state"]
                change |= {"destination": None, "state": state, "finished_at": now}
        this = update(videos).where(videos.c.id == row["id"])
        connection.execute(this.values(**change))


def _is_there(answers: Answers, source: Source, row: Mapping[Any, Any]) -> bool:
    """Whether the file of a row lies in its source; False if that cannot be found out now."""
    identity = Identity(*(row[name] for name in Identity._fields))
    with suppress(TimeoutError):
        return answers.of(source.folder, lambda: lies_at(row["path"], identity))
    return False

"""Notes who asked for what befell a video. The rows themselves are written by triggers."""

from typing import Literal

from sqlalchemy import ColumnElement, Connection, func, select, update

from daemon.database.tables import happenings, videos


def note_person(
    connection: Connection,
    which: ColumnElement[bool],
    what: Literal["again", "failed"],
    words: str,
) -> None:
    """Add `words`, which name a person, to the newest row of this kind of each of these videos.

    `which` is a condition on rows of `videos`.
    """
    of_these = happenings.c.video_id.in_(select(videos.c.id).where(which))
    newest = select(func.max(happenings.c.id)).where(happenings.c.what == what, of_these)
    these = happenings.c.id.in_(newest.group_by(happenings.c.video_id))
    text = func.coalesce(happenings.c.text + "; ", "") + words
    connection.execute(update(happenings).where(these).values(text=text))

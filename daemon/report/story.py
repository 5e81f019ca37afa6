"""What befell one video: where it came from, where its file was, each attempt. Only reads."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from daemon.database.expressions import shown_name
from daemon.database.tables import happenings, videos
from daemon.home.texts import printable, shown_path


@dataclass(frozen=True)
class Happening:
    """Something that befell a video."""

    at: datetime
    what: str
    """As in the table `happenings`, like `text`."""
    text: str | None
    path: bytes | None
    """Where the file was until then; None if that is no question."""
    to: bytes | None = None
    """Where it was moved to, if it was moved."""


@dataclass(frozen=True)
class Copy:
    """Another video with the same content."""

    id: int
    name: str
    path: bytes


@dataclass(frozen=True)
class Story:
    """What befell one video. Most is as in the table `videos`."""

    came_from: str
    """The folder of the inbox, of a source or of an archive, for people."""
    on_filed: str | None
    left_at: bytes | None
    destination: bytes | None
    moving_to: bytes | None
    finished_at: datetime | None
    seconds_taken: float | None
    """From its arrival until it was filed or failed."""
    attempts: int
    tries: int
    trouble: str | None
    held: str | None
    retry_at: datetime | None
    copies: tuple[Copy, ...]
    """The oldest first; no file of them need be there."""
    happenings: tuple[Happening, ...]
    """The oldest first."""

    def to_json(self) -> dict[str, Any]:
        """One object, with times in ISO 8601."""
        row = {**vars(self)}
        for name in ("left_at", "destination", "moving_to"):
            row[name] = _path(row[name])
        for name in ("finished_at", "retry_at"):
            row[name] = row[name] and row[name].isoformat()
        row["copies"] = [{**vars(one), "path": _path(one.path)} for one in self.copies]
        row["happenings"] = [
            {
                **vars(one),
                "at": one.at.isoformat(),
                "path": _path(one.path),
                "to": _path(one.to),
            }
            for one in self.happenings
        ]
        return row


def read_story(connection: Connection, row: Mapping[Any, Any]) -> Story:
    """What befell a video.

    Args:
        connection: To the database.
        row: Of the video, from the table `videos`.
    """
    finished = row["finished_at"]
    took = finished - row["arrived_at"] if finished else None
    return Story(
        came_from=_came_from(row),
        on_filed=row["on_filed"],
        left_at=row["left_at"],
        destination=row["destination"],
        moving_to=row["moving_to"],
        finished_at=finished,
        seconds_taken=None if took is None else took.total_seconds(),
        attempts=row["attempts"],
        tries=row["tries"],
        trouble=row["trouble"],
        held=row["held"],
        retry_at=row["retry_at"],
        copies=tuple(_copies(connection, row)),
        happenings=tuple(_happenings(connection, row)),
    )


def _came_from(row: Mapping[Any, Any]) -> str:
    if row["origin"] is not None:
        return f"{shown_path(row['origin'])} ({printable(row['source'] or '')})"
    return f"inbox/{printable(row['source'])}" if row["source"] else "inbox"


def _copies(connection: Connection, row: Mapping[Any, Any]) -> list[Copy]:
    content = row["duplicate_of"] or row["id"]
    columns = (videos.c.id, videos.c.path, shown_name())
    copies = select(*columns).where(videos.c.duplicate_of == content, videos.c.id != row["id"])
    found = list(connection.execute(copies.order_by(videos.c.id)))
    if content != row["id"]:
        found = [*connection.execute(select(*columns).where(videos.c.id == content)), *found]
    return [Copy(one.id, one.shown_name, one.path) for one in found]


def _happenings(connection: Connection, row: Mapping[Any, Any]) -> list[Happening]:
    of_video = happenings.c.video_id == row["id"]
    query = select(happenings).where(of_video).order_by(happenings.c.id.desc())
    found: list[Happening] = []
    place = row["path"]
    for one in connection.execute(query):  # the newest first: each move led to the place so far
        is_move = one.what == "moved"
        found.append(Happening(one.at, one.what, one.text, one.path, place if is_move else None))
        place = one.path if is_move else place
    return found[::-1]


def _path(path: bytes | None) -> str | None:
    return None if path is None else printable(os.fsdecode(path))

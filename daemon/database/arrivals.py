"""How a file that comes becomes a row, or is found to be one that is known already."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, insert, select, update

from daemon.database.connection import new_id
from daemon.database.events import Event, note_events
from daemon.database.files import NUMBERS, Row, in_its_place, is_other_name, rests, row_of
from daemon.database.records import FREED
from daemon.database.tables import videos
from daemon.home.folders import Found
from daemon.home.identity import Identity, display_name, identify

# Built once: they run for each file that comes, and building one takes longer than running it.
_ALIKE = select(videos).where(*(videos.c[name] == bindparam(name) for name in NUMBERS))
_AT_PATH = select(videos.c.id, videos.c.state).where(
    videos.c.path == bindparam("at"), videos.c.finished_at.is_(None)
)
# The row itself is compared by "is distinct from": a new video has no id yet.
_FORGET = (
    update(videos)
    .where(
        *(videos.c[name] == bindparam(f"its_{name}") for name in Identity._fields),
        videos.c.finished_at.is_(None),
        videos.c.id.is_distinct_from(bindparam("itself", type_=Integer)),
    )
    .values(device=None)
)


def add_file(connection: Connection, file: Found, now: datetime) -> bool:
    """Queue a whole file; whether it is new to the queue, or was waited for."""
    identity = file.identity._asdict()
    known = _columns(file)
    alike = connection.execute(_ALIKE, file.identity._asdict()).mappings().all()
    unfinished = [row for row in alike if row["finished_at"] is None]
    same = row_of(unfinished, file)
    if any(row is not same and row["device"] == file.identity.device for row in unfinished):
        forget_device(connection, file.identity, same["id"] if same else None)
    if same:
        return _find_again(connection, same, file, known)
    if any(is_other_name(row, file) or _is_left(row, file) for row in alike):
        return False
    # Checked under the write lock: a file that was filed a moment ago is no new arrival.
    try:
        if identify(file.path) != file.identity:
            return False
    except OSError:  # it cannot be known now; the next search brings the file again
        return False
    other = connection.execute(_AT_PATH, {"at": file.path}).first()
    if other and other.state == "claimed":
        return False  # it becomes `waiting` when its decoder is done, and the next search finds it
    if other and other.state in ("waiting", "queued"):
        anew = {**known, **identity, **FREED, "state": "queued", "attempts": 0, "tries": 0}
        anew["changed_at"] = now
        connection.execute(update(videos).where(videos.c.id == other.id).values(**anew))
        return bool(other.state == "waiting")
    add_to_queue(connection, file, now)
    return True


def add_to_queue(connection: Connection, file: Found, now: datetime) -> int:
    """Add a row for a file, in the state "queued". Returns the id of its video."""
    row = _columns(file) | file.identity._asdict()
    forget_device(connection, file.identity)
    new = insert(videos).values(**row, state="queued", arrived_at=now, changed_at=now)
    return new_id(connection.execute(new))


def _columns(file: Found) -> dict[str, Any]:
    """What the row of a file says of its place."""
    known = {"name": display_name(file.path), "path": file.path}
    return {**known, "group": file.group, "source": file.source}


def forget_device(connection: Connection, identity: Identity, video_id: int | None = None) -> None:
    """Forget the device of all unfinished videos with this identity, but for the video that has it.

    Another file system has the number that theirs had. Their own is noted again when their files
    are found again.
    """
    numbers = {f"its_{name}": number for name, number in identity._asdict().items()}
    connection.execute(_FORGET, {**numbers, "itself": video_id})


def fail_others_at(connection: Connection, path: bytes, video_id: int, now: datetime) -> None:
    """Another file took the place of these: they were not read yet, and never will be."""
    replaced = and_(
        videos.c.path == path,
        videos.c.id != video_id,
        videos.c.state.in_(("waiting", "queued")),
    )
    failed = {"state": "failed", "error": "another file was put in its place", "finished_at": now}
    ids = connection.scalars(select(videos.c.id).where(replaced)).all()
    connection.execute(update(videos).where(replaced).values(**failed, **FREED))
    note_events(connection, "failed", [Event(each, each) for each in ids], now)


def _is_left(row: Row, file: Found) -> bool:
    """Whether a file is a duplicate that was left in the inbox: it is not looked at again."""
    return rests(row) and row["path"] == file.path


def _find_again(connection: Connection, row: Row, file: Found, known: Mapping[str, Any]) -> bool:
    """Note that the file of an unfinished video was found; whether the video was waiting for it."""
    this = update(videos).where(videos.c.id == row["id"])
    if row["device"] != file.identity.device:
        connection.execute(this.values(device=file.identity.device))
    in_the_inbox = videos.c.state.in_(("waiting", "queued", "claimed"))
    # The file may have two names. The row keeps the first one as long as it is there.
    if row["path"] == file.path or in_its_place(row) is None:
        connection.execute(this.where(in_the_inbox).values(**known))
    waiting = this.where(videos.c.state == "waiting")
    found_again = connection.execute(waiting.values(state="queued", retry_at=None))
    return bool(found_again.rowcount)

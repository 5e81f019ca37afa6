"""How a file that comes becomes a row, or is found to be one that is known already."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, func, insert, select, update

from daemon.database.connection import new_id
from daemon.database.events import note_failed
from daemon.database.files import (
    NUMBERS,
    RESTING,
    Row,
    in_its_place,
    is_other_name,
    left_here,
    rests,
    row_of,
)
from daemon.database.records import FREED
from daemon.database.tables import videos
from daemon.home.folders import Found
from daemon.home.identity import Identity, display_name, identify, lies_at

# Built once: they run for each file that comes, and building one takes longer than running it.
_ALIKE = select(videos).where(*(videos.c[name] == bindparam(name) for name in NUMBERS))
_PLACED = ("path", "group", "source", "origin", "on_filed", "own_model")
_KNOWN = select(
    *(videos.c[name] for name in ("path", "finished_at", *RESTING, *Identity._fields))
).where(videos.c.inode.in_(bindparam("inodes", expanding=True)))
# Nothing else is known of the content of a file that failed.
_FAILED = select(videos).where(
    videos.c.name == bindparam("named"),
    *(videos.c[name] == bindparam(name) for name in ("size", "mtime_ns")),
    videos.c.state == "failed",
    videos.c.on_filed == "leave",
)
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


def unknown(connection: Connection, files: Sequence[Found], *, stay: bool) -> list[Found]:
    """As `Queue.unknown`, in a transaction."""
    # Sorted out below: with a condition on the state, SQLite reads all rows of that state.
    inodes = [file.identity.inode for file in files]
    here = left_here(connection, files) if stay else set()
    queued = set()
    left = set()
    for row in connection.execute(_KNOWN, {"inodes": inodes}).mappings():
        identity = Identity(*(row[name] for name in Identity._fields))
        if rests(row):
            left.add((row["path"], *identity[1:]))  # a device gets another number by itself
            if stay and _may_lie_there(row["path"], identity):
                queued.add(identity)  # another name of the same file (a hard link)
        elif row["finished_at"] is None and row["state"] != "waiting":
            queued.add(identity)
    return [
        file
        for file in files
        if file.identity not in queued
        and file.path not in here
        and (file.path, *file.identity[1:]) not in left
    ]


def _may_lie_there(path: bytes, identity: Identity) -> bool:
    """Whether the file with this identity lies at a path; True if it cannot be found out now."""
    try:
        return identity.has_numbers_of(identify(path))
    except OSError:
        return True


def add_files(
    connection: Connection, files: Sequence[Found], now: datetime, *, background: bool = False
) -> int:
    """Queue whole files; gives how many are new to the queue, or were waited for.

    An archive has many of which nothing is known: these are written in one go.
    """
    unheard = _unheard_of(connection, files)
    rows = [
        _columns(file)
        | file.identity._asdict()
        | {"background": background, "state": "queued", "arrived_at": now, "changed_at": now}
        for file in unheard
        # As in `add_file`: one that has changed meanwhile is found again later.
        if lies_at(file.path, file.identity)
    ]
    if rows:
        connection.execute(insert(videos), rows)
    others = [file for file in files if file not in unheard]
    n_others = sum(add_file(connection, file, now, background=background) for file in others)
    return len(rows) + n_others


def _unheard_of(connection: Connection, files: Sequence[Found]) -> dict[Found, None]:
    """Those of the files that no row may be of, by its inode, its path or its name."""
    known: dict[str, set[Any]] = {}
    asked: dict[str, tuple[Any, list[Any]]] = {
        "inode": (videos.c.inode, [file.identity.inode for file in files]),
        "path": (videos.c.path, [file.path for file in files]),
        "left_at": (videos.c.left_at, [file.path for file in files]),
        "name": (videos.c.name, [display_name(file.path) for file in files]),
    }
    for which, (column, values) in asked.items():
        query = select(column).where(column.in_(values), column.is_not(None))
        if which == "name":  # of a file that failed, nothing else may be known
            query = query.where(videos.c.state == "failed", videos.c.on_filed == "leave")
        known[which] = set(connection.scalars(query))
    paths = known["path"] | known["left_at"]
    unheard: dict[Found, None] = {}
    for file in files:
        inode = file.identity.inode
        name = display_name(file.path)
        if inode not in known["inode"] and file.path not in paths and name not in known["name"]:
            known["inode"].add(inode)  # of two names of one file, one is new
            paths.add(file.path)
            unheard[file] = None
    return unheard


def add_file(
    connection: Connection, file: Found, now: datetime, *, background: bool = False
) -> bool:
    """Queue a whole file; whether it is new to the queue, or was waited for.

    Args:
        connection: In a transaction that writes.
        file: The file.
        now: The time.
        background: Whether it waits as long as other videos do.
    """
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
    if (was_queued := _follow_left(connection, alike, file)) is not None:
        return was_queued
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
    add_to_queue(connection, file, now, background=background)
    return True


def add_to_queue(
    connection: Connection, file: Found, now: datetime, *, background: bool = False
) -> int:
    """Add a row for a file, in the state "queued". Returns the id of its video."""
    row = _columns(file) | file.identity._asdict() | {"background": background}
    forget_device(connection, file.identity)
    new = insert(videos).values(**row, state="queued", arrived_at=now, changed_at=now)
    return new_id(connection.execute(new))


def add_many(connection: Connection, files: Sequence[Found], now: datetime) -> list[int]:
    """As `add_to_queue`, for many files in the background. Returns their ids, in this order.

    The ids are chosen here: to have SQLite choose them, each row would be a statement of its own.
    """
    identities = [file.identity._asdict() for file in files]
    these = [{f"its_{key}": one[key] for key in one} | {"itself": None} for one in identities]
    connection.execute(_FORGET, these)
    ids = _new_ids(connection, len(files))
    more = {"background": True, "state": "queued", "arrived_at": now, "changed_at": now}
    rows = [
        {"id": new, **_columns(file), **identity, **more}
        for new, file, identity in zip(ids, files, identities, strict=True)
    ]
    connection.execute(insert(videos), rows)
    return ids


def _new_ids(connection: Connection, n: int) -> list[int]:
    """Ids for new rows, in their order. A server counts them, and would give ours out again."""
    if connection.dialect.name == "sqlite":
        last = connection.scalar(select(func.max(videos.c.id))) or 0
        return list(range(last + 1, last + 1 + n))
    counter = func.nextval(func.pg_get_serial_sequence("videos", "id"))
    return sorted(connection.scalars(select(counter).select_from(func.generate_series(1, n))))


def queue_again(
    connection: Connection, video_id: int, file: Found, *, background: bool = True
) -> None:
    """Queue a video again that failed, and whose file was left where it was, or was moved since.

    In the `background`, it waits as long as other videos do.
    """
    forget_device(connection, file.identity, video_id)
    this = update(videos).where(videos.c.id == video_id, videos.c.state == "failed")
    anew = {**file.identity._asdict(), **FREED, "state": "queued"}
    anew |= {"error": None, "attempts": 0, "tries": 0, "finished_at": None, "forgotten_at": None}
    before = connection.scalar(select(videos.c.path).where(videos.c.id == video_id))
    if before != file.path:
        anew |= _columns(file)  # else an archive above it would take it over
    connection.execute(this.values(**anew, background=background))


def _columns(file: Found) -> dict[str, Any]:
    """What the row of a file says of its place."""
    known = {name: getattr(file, name) for name in _PLACED}
    return {**known, "name": display_name(file.path)}


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
    note_failed(connection, ids)


def _is_left(row: Row, file: Found) -> bool:
    """Whether a file was left where it came: it is not looked at again."""
    return rests(row) and row["path"] == file.path


def _follow_left(connection: Connection, alike: Iterable[Row], file: Found) -> bool | None:
    """Let the row of a file that stays where it is follow it, if a person has moved the file.

    Args:
        connection: In a transaction that writes.
        alike: The rows with the numbers of the file.
        file: The file.

    Returns:
        Whether it was queued again; None if it is no such file.
    """
    if file.on_filed is not None and left_here(connection, [file]):
        return False
    if file.on_filed != "leave":
        return None
    known = _columns(file)
    if moved := _that_moved(alike, file):
        place = {name: known[name] for name in ("name", "path", "source", "origin")}
        connection.execute(update(videos).where(videos.c.id == moved["id"]).values(**place))
        return False
    same = {**file.identity._asdict(), "named": known["name"]}
    failed = connection.execute(_FAILED, same).mappings()
    if moved := next((row for row in failed if in_its_place(row) is None), None):
        queue_again(connection, moved["id"], file)
        return True
    return None


def _that_moved(rows: Iterable[Row], file: Found) -> Row | None:
    """The finished row of a file that stays where it is, if a person has moved the file here."""
    for row in rows:
        stays = row["on_filed"] == "leave" and rests(row)
        if stays and row["device"] == file.identity.device and in_its_place(row) is None:
            return row
    return None


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

"""The database's engine, and every change of a video's state as one method and one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    Select,
    Update,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from daemon.database.connection import new_id
from daemon.database.records import Answer, Arrival, Claimed, Move, Opinion, Placed
from daemon.database.tables import labels, models, predictions, stands, videos
from daemon.home.identity import Identity, display_name, identify
from learner.groups import alike

LEASE = timedelta(minutes=10)
ATTEMPTS = 3
MOVED = 200
COMPARED = 2000  # recent clips without a group of their own, that a new one may look like
LONGEST_PAUSE = timedelta(minutes=5)  # before a file that is in trouble is looked at again
READ = ("frames_asked", "frames_read", "decoder", "read_share")
FREED = {"claimed_by": None, "lease_until": None, "retry_at": None, "trouble": None}


class Layout(Protocol):
    """Where answered files belong."""

    def classified(self, path: bytes, class_name: str) -> bytes: ...  # noqa: D102

    def unsure(self, path: bytes) -> bytes: ...  # noqa: D102
    def labelled(self, path: bytes, class_name: str) -> bytes: ...  # noqa: D102
    def duplicate(self, path: bytes) -> bytes: ...  # noqa: D102
    def class_folder(self, path: bytes) -> tuple[str, str] | None: ...  # noqa: D102


class Store:
    """Every change of a video's state. `owner` signs this daemon's claims.

    `sampled` is the share of new videos that is drawn for people to review.
    """

    def __init__(self, engine: Engine, owner: str, sampled: float = 0.0) -> None:
        self.engine, self.owner, self._sampled = engine, owner, sampled
        self._writer = engine.execution_options(writes=True)
        self._recent: list[tuple[str, bytes]] | None = (
            None  # read once: nobody else writes fingerprints
        )

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()

    def _write(self) -> AbstractContextManager[Connection]:
        return self._writer.begin()

    def register_model(
        self, name: str, digest: str, classes: Sequence[str], measured: Any, now: datetime
    ) -> int:
        """Note that this daemon uses the model with these weights; gives its id."""
        row = {"name": name, "classes": list(classes), "measured": dict(measured), "used_at": now}
        with self._write() as write:
            found = write.scalar(select(models.c.id).where(models.c.digest == digest))
            if found is None:
                return new_id(write.execute(insert(models).values(digest=digest, **row)))
            write.execute(update(models).where(models.c.id == found).values(**row))
            return int(found)

    def unknown(self, files: Sequence[tuple[bytes, Identity | None]]) -> list[bytes]:
        """Those of the files in the inbox that are not queued yet, or wait to be whole."""
        inodes = [identity.inode for _, identity in files if identity]
        columns = select(videos.c.inode, videos.c.size, videos.c.mtime_ns).where(
            videos.c.inode.in_(inodes)
        )
        with self.engine.begin() as read:
            found = read.execute(
                columns.where(videos.c.finished_at.is_(None), videos.c.state != "waiting")
            )
            queued = {Identity(*row) for row in found}
        return [path for path, identity in files if identity not in queued]

    def enqueue(self, arrivals: Sequence[Arrival], now: datetime) -> int:
        """Queue whole files; gives how many were new: not queued before, and still there.

        A row that is not in hand yet follows its file: to another name, or to other content under its name.
        """
        with self._write() as write:
            return sum(_enqueue(write, arrival, now) for arrival in arrivals)

    def claim(self, limit: int, now: datetime) -> list[Claimed]:
        """Take the oldest queued videos into hand."""
        oldest = (
            select(videos)
            .where(videos.c.state == "queued", _due(now))
            .order_by(videos.c.id)
            .limit(limit)
        )
        with self.engine.begin() as read:
            if read.execute(oldest.limit(1)).first() is None:
                return []
        with self._write() as write:
            rows = write.execute(oldest).all()
            claim = {"state": "claimed", "claimed_by": self.owner, "lease_until": now + LEASE}
            write.execute(
                update(videos).where(videos.c.id.in_([row.id for row in rows])).values(**claim)
            )
        return [Claimed(row.id, row.path, _identity(row)) for row in rows]

    def renew_leases(self, now: datetime) -> None:
        """Say that what is in hand is still being worked on."""
        own = and_(videos.c.state == "claimed", videos.c.claimed_by == self.owner)
        with self._write() as write:
            write.execute(update(videos).where(own).values(lease_until=now + LEASE))

    def recover(self) -> int:
        """Put all claims back: the caller holds the home's lock, so who made them is gone."""
        with self._write() as write:
            back = write.execute(
                update(videos).where(videos.c.state == "claimed").values(state="queued", **FREED)
            )
            paused = and_(videos.c.retry_at.is_not(None), videos.c.state != "waiting")
            write.execute(update(videos).where(paused).values(retry_at=None))
            return back.rowcount

    def release(self, ids: Iterable[int]) -> None:
        """Put claimed videos back as they were."""
        with self._write() as write:
            write.execute(_claimed(*ids).values(state="queued", **FREED))

    def wait(self, video_id: int, until: datetime) -> None:
        """The file changed after it was queued, or is gone: it is queued anew when it is found whole by `until`."""
        with self._write() as write:
            write.execute(
                _claimed(video_id).values(state="waiting", **{**FREED, "retry_at": until})
            )

    def hold(self, video_id: int, until: datetime) -> None:
        """Its file may still be on its way: look at it again then."""
        with self._write() as write:
            write.execute(_claimed(video_id).values(state="queued", **{**FREED, "retry_at": until}))

    def missing(self, now: datetime) -> list[tuple[int, bytes]]:
        """The rows, with their paths, whose file should have been found whole again by now."""
        late = and_(videos.c.state == "waiting", videos.c.retry_at <= now)
        with self.engine.begin() as read:
            return [(row.id, row.path) for row in read.execute(select(videos).where(late))]

    def give_up(self, video_id: int, error: str, now: datetime) -> None:
        """The file that this row waited for did not come back."""
        waiting = update(videos).where(videos.c.id == video_id, videos.c.state == "waiting")
        with self._write() as write:
            write.execute(waiting.values(state="failed", error=error, finished_at=now, **FREED))

    def postpone(self, ids: Iterable[int], trouble: str, now: datetime) -> None:
        """Something is in the way of an answer that will pass: try again, after a pause that grows."""
        self._later(and_(videos.c.id.in_(list(ids)), videos.c.state == "claimed"), trouble, now)

    def postpone_move(self, video_id: int, trouble: str, now: datetime) -> None:
        """As `postpone`, of a file that cannot be moved now."""
        self._later(and_(videos.c.id == video_id, videos.c.destination.is_not(None)), trouble, now)

    def _later(self, which: ColumnElement[bool], trouble: str, now: datetime) -> None:
        with self._write() as write:
            for row in write.execute(select(videos).where(which)).all():
                state = "queued" if row.state == "claimed" else row.state
                pause = min(timedelta(seconds=2 ** min(row.tries + 1, 20)), LONGEST_PAUSE)
                later = {"trouble": trouble, "tries": row.tries + 1, "retry_at": now + pause}
                write.execute(
                    update(videos)
                    .where(videos.c.id == row.id)
                    .values(state=state, **{**FREED, **later})
                )

    def count_crash(self, video_id: int, trouble: str, now: datetime) -> int:
        """Its decoder crashed on it or ran out of time: the number of times so far. It is queued again."""
        with self._write() as write:
            attempts = (
                int(write.scalar(select(videos.c.attempts).where(videos.c.id == video_id)) or 0) + 1
            )
            later = {
                "attempts": attempts,
                "trouble": trouble,
                "retry_at": now + timedelta(seconds=2**attempts),
            }
            write.execute(_claimed(video_id).values(state="queued", **{**FREED, **later}))
            return attempts

    def fail(self, video_id: int, error: str, destination: bytes) -> None:
        """No answer, for good."""
        with self._write() as write:
            # Also a video that `count_crash` has just put back.
            unanswered = update(videos).where(
                videos.c.id == video_id, videos.c.state.in_(("claimed", "queued"))
            )
            write.execute(
                unanswered.values(state="failed", error=error, destination=destination, **FREED)
            )

    def record(
        self, answers: Sequence[Answer], model_id: int, layout: Layout, now: datetime
    ) -> list[tuple[Answer, int | None]]:
        """Write a batch's predictions and destinations. Content answered before gets no second prediction.

        Returns:
            Each answer that was still wanted, with the video whose earlier answer counts in its place, None where it
            is the first.
        """
        with self._write() as write:
            ids = {"ids": [answer.video_id for answer in answers]}
            in_hand = {row.id: row.group for row in write.execute(_IN_HAND, ids)}
            said = {row.video_id: row for row in write.execute(_SAID, ids)}
            contents = {"contents": [answer.sha256 for answer in answers]}
            first = {row.sha256: row.id for row in write.execute(_FIRST, contents)}
            recorded, copies = [], []
            for answer in answers:
                original = first.get(answer.sha256)
                if original and answer.video_id in said:
                    copies.append((answer.video_id, original))
                if answer.video_id in in_hand:
                    first.setdefault(answer.sha256, answer.video_id)
                    recorded.append((answer, original))
            anew = [answer for answer, original in recorded if original is None]
            alone = [
                answer for answer in anew if in_hand[answer.video_id] is None and answer.fingerprint
            ]
            endings = [
                {
                    **_ending(answer, original, said.get(answer.video_id), layout, now),
                    "sampled": original is None
                    and answer.video_id not in said
                    and self._is_drawn(answer.sha256),
                }
                for answer, original in recorded
            ]
            _for_each(write, _EACH, endings)
            _for_each(
                write, _PREDICTED, [row for answer in anew for row in _rows(answer, model_id, now)]
            )
            recent = self._place_in_groups(write, alone) if alone else self._recent
            for copy, original in copies:
                _hand_over(write, copy, original, layout)
        self._recent = recent  # only now is it committed
        return recorded

    def _is_drawn(self, sha256: str) -> bool:
        return int(sha256[:8], 16) < self._sampled * 2**32

    def _place_in_groups(
        self, write: Connection, alone: Sequence[Answer]
    ) -> list[tuple[str, bytes]]:
        """Where neither name nor folder told: that of the recent clip that looks the same, else one of its own.

        Gives the groups and fingerprints of the recent clips, the newest first.
        """
        recent = _recent(write) if self._recent is None else self._recent
        found: list[dict[str, Any]] = []
        for answer in alone:
            assert answer.fingerprint
            like = alike(answer.fingerprint, [fingerprint for _, fingerprint in recent])
            group = f"#{answer.video_id}" if like is None else recent[like][0]
            found.append(
                {"video": answer.video_id, "group": group, "fingerprint": answer.fingerprint}
            )
            recent = [(group, answer.fingerprint), *recent[: COMPARED - 1]]
        _for_each(write, _EACH, found)
        return recent

    def rescore(self, said: Sequence[tuple[int, Opinion]], now: datetime) -> None:
        """Write a later model's predictions for answered videos, by their ids, beside the answers."""
        with self._write() as write:
            for video_id, shadow in said:
                rows = select(predictions).where(predictions.c.video_id == video_id)
                if write.execute(rows.where(predictions.c.model_id == shadow.model_id)).first():
                    continue  # another process was faster
                answer = write.execute(rows.where(predictions.c.kind == "answer")).mappings().one()
                row = {"video_id": video_id, "kind": "rescored", "created_at": now}
                row |= {name: answer[name] for name in READ} | _but_class(vars(shadow))
                write.execute(insert(predictions).values(**row, **{"class": shadow.class_name}))

    def moves(self, now: datetime) -> list[Move]:
        """Files that are to be moved now; not all of many, or nothing else would be done until they are."""
        pending = (
            select(videos)
            .where(videos.c.destination.is_not(None), _due(now))
            .order_by(videos.c.id)
            .limit(MOVED)
        )
        with self.engine.begin() as read:
            return [
                Move(row.id, row.path, row.destination, _identity(row), row.sha256, row.error)
                for row in read.execute(pending)
            ]

    def redirect(self, video_id: int, taken: bytes, destination: bytes) -> None:
        """Another file has the name `taken`: note the new one before anything moves.

        Nothing is noted where someone has labelled the video meanwhile, and it belongs elsewhere.
        """
        still = update(videos).where(videos.c.id == video_id, videos.c.destination == taken)
        with self._write() as write:
            write.execute(still.values(destination=destination))

    def moved(self, placed: Mapping[int, Placed], now: datetime) -> None:
        """The ways of these videos have ended."""
        with self._write() as write:
            for video_id, place in placed.items():
                change = update(videos).where(videos.c.id == video_id)
                # A labelled file is moved again, after its way has ended.
                ended = func.coalesce(videos.c.finished_at, now)
                write.execute(change.values(finished_at=ended, **FREED))
                answered = change.where(videos.c.state == "classified")
                if place.path is None:
                    write.execute(
                        answered.values(
                            error="taken away or changed by someone before it was filed"
                        )
                    )
                else:
                    # A copy on another file system is another file.
                    there = identify(place.path)
                    found = {"path": place.path, "name": display_name(place.path)}
                    write.execute(change.values(**found, **(there._asdict() if there else {})))
                    write.execute(answered.values(state="filed"))
                # Labelled while it was moved, it has another destination by now, and is moved on.
                write.execute(
                    change.where(videos.c.destination == place.tried).values(destination=None)
                )

    def paths(self, video_ids: Iterable[int]) -> dict[int, bytes]:
        """Where each video's file was last seen: it may have been renamed while in hand."""
        with self.engine.begin() as read:
            rows = read.execute(
                select(videos.c.id, videos.c.path).where(videos.c.id.in_(list(video_ids)))
            )
            return {row.id: bytes(row.path) for row in rows}

    def busy(self) -> bool:
        """Whether anything is left to do that no temporary trouble stands in the way of."""
        untroubled = and_(videos.c.state != "waiting", videos.c.tries == 0)
        left = select(videos.c.id).where(videos.c.finished_at.is_(None), untroubled).limit(1)
        with self.engine.begin() as read:
            return read.execute(left).first() is not None


def _enqueue(write: Connection, arrival: Arrival, now: datetime) -> bool:
    path, identity = arrival.path, arrival.identity._asdict()
    unfinished = select(videos.c.id, videos.c.state).where(videos.c.finished_at.is_(None))
    file = {"name": display_name(path), "path": path, "group": arrival.group}
    same = write.execute(
        unfinished.where(*(videos.c[key] == value for key, value in identity.items()))
    ).first()
    if same:
        in_the_inbox = videos.c.state.in_(("waiting", "queued", "claimed"))
        write.execute(update(videos).where(videos.c.id == same.id, in_the_inbox).values(**file))
        waiting = update(videos).where(videos.c.id == same.id, videos.c.state == "waiting")
        return bool(write.execute(waiting.values(state="queued", retry_at=None)).rowcount)
    # Looked at under the write lock: a file that was filed a moment ago is no new arrival.
    try:
        if identify(path) != arrival.identity:
            return False
    except OSError:  # it cannot be told now; the next search brings it again
        return False
    other = write.execute(unfinished.where(videos.c.path == path)).first()
    if other and other.state == "claimed":
        return False  # it is put to `waiting` when its decoder is done, and the next search brings this file again
    if other and other.state in ("waiting", "queued"):
        anew = {**file, **identity, **FREED, "state": "queued", "attempts": 0, "tries": 0}
        write.execute(update(videos).where(videos.c.id == other.id).values(**anew))
        return bool(other.state == "waiting")
    write.execute(insert(videos).values(**file, **identity, state="queued", arrived_at=now))
    return True


def _due(now: datetime) -> ColumnElement[bool]:
    """No pause is longer than the longest: one that seems to be was begun before the clock was set back."""
    at = videos.c.retry_at
    return or_(at.is_(None), at <= now, at > now + LONGEST_PAUSE)


def _claimed(*ids: int) -> Update:
    """A change of videos in hand: whatever has happened to a row meanwhile, it is not undone."""
    return update(videos).where(videos.c.id.in_(ids), videos.c.state == "claimed")


def _label(video_id: int) -> Select[Any]:
    """What was said of it last."""
    return (
        select(labels)
        .where(labels.c.video_id == video_id, stands())
        .order_by(labels.c.id.desc())
        .limit(1)
    )


# Made once: they are asked for each batch, and to put one together takes longer than its answer.
_THESE = videos.c.id.in_(bindparam("ids", expanding=True))
_IN_HAND = select(videos.c.id, videos.c.group).where(_THESE, videos.c.state == "claimed")
_SAID = (
    select(labels.c.video_id, labels.c.verdict, labels.c["class"])
    .where(labels.c.video_id.in_(bindparam("ids", expanding=True)), stands())
    .order_by(labels.c.id)
)
# By SHA-256: the first video that held it and has a prediction.
_FIRST = (
    select(videos.c.sha256, func.min(videos.c.id).label("id"))
    .where(videos.c.sha256.in_(bindparam("contents", expanding=True)))
    .where(select(predictions.c.id).where(predictions.c.video_id == videos.c.id).exists())
    .group_by(videos.c.sha256)
)
_EACH = update(videos).where(videos.c.id == bindparam("video"))
_PREDICTED = insert(predictions)


def _recent(read: Connection) -> list[tuple[str, bytes]]:
    query = select(videos.c.group, videos.c.fingerprint).where(videos.c.fingerprint.is_not(None))
    return [
        (row[0], row[1]) for row in read.execute(query.order_by(videos.c.id.desc()).limit(COMPARED))
    ]


def _for_each(write: Connection, change: Executable, rows: Sequence[Mapping[str, Any]]) -> None:
    """One change of many rows: a statement a row would cost more than the database takes."""
    if rows:
        write.execute(change, rows)


def _hand_over(write: Connection, copy: int, original: int, layout: Layout) -> None:
    """A copy in a class folder says something of the content."""
    of_copy = update(labels).where(labels.c.video_id == copy)
    write.execute(of_copy.values(video_id=original, source="moved"))
    _rest(write, original, layout)


def _rest(write: Connection, original: int, layout: Layout) -> None:
    """The first file of a content that was labelled by a copy rests with the label that counts, too."""
    row, label = (
        write.execute(select(videos).where(videos.c.id == original)).one(),
        write.execute(_label(original)).one(),
    )
    name = label._mapping["class"]
    if (
        row.state == "filed"
        and name
        and layout.class_folder(row.path) not in (None, ("labelled", name))
    ):
        target = layout.labelled(row.path, name)
        write.execute(update(videos).where(videos.c.id == original).values(destination=target))


def _destination(answer: Answer, original: int | None, label: Any, layout: Layout) -> bytes:
    if label and label.verdict == "labelled":
        return layout.labelled(answer.path, label._mapping["class"])
    if original:
        return layout.duplicate(answer.path)
    if answer.doubt or (label and label.verdict == "unsure"):
        return layout.unsure(answer.path)
    return layout.classified(answer.path, answer.class_name)


def _ending(
    answer: Answer, original: int | None, label: Any, layout: Layout, now: datetime
) -> dict[str, Any]:
    """What its row is to hold."""
    outcome: dict[str, Any] = {
        "video": answer.video_id,
        "sha256": answer.sha256,
        "duplicate_of": original,
        "tries": 0,
    }
    if layout.class_folder(answer.path) is not None:  # where a person has put it, it stays
        return {**outcome, **FREED, "state": "filed", "finished_at": now, "destination": None}
    destination = _destination(answer, original, label, layout)
    return {
        **outcome,
        **FREED,
        "state": "classified",
        "finished_at": None,
        "destination": destination,
    }


def _rows(answer: Answer, model_id: int, now: datetime) -> list[dict[str, Any]]:
    """Its prediction, and that of the challenger in the model's shadow."""
    copied = ("video_id", "class_index", "probability", "logits", "doubt", *READ)
    row = {name: getattr(answer, name) for name in copied}
    row |= {"class": answer.class_name, "model_id": model_id, "created_at": now, "kind": "answer"}
    if (said := answer.shadow) is None or said.model_id == model_id:
        return [row]
    return [
        row,
        row | {"class": said.class_name, **_but_class(vars(said)), "kind": "shadow", "doubt": None},
    ]


def _but_class(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "class_name"}


def _identity(row: Any) -> Identity:
    return Identity(row.inode, row.size, row.mtime_ns)

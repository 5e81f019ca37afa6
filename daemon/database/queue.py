"""The queue of videos: each change of a video's state on its way is one transaction.

Predictions are recorded by `predictions.py`. What people do in class folders is noted by
`daemon/labels/class_folders.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Update,
    and_,
    case,
    literal,
    or_,
    select,
    update,
)

from daemon.database.arrivals import add_files, unknown
from daemon.database.columns import HomePath
from daemon.database.daemons import SHARED_LEASE
from daemon.database.due import ALL, LONGEST_PAUSE, Which, is_due, is_over, oldest_due
from daemon.database.events import note_failed
from daemon.database.filed import note_moves
from daemon.database.files import Row, other_names
from daemon.database.records import FREED, Claimed, Move, Moved
from daemon.database.tables import videos
from daemon.database.windows import forget_windows
from daemon.home.folders import Found
from daemon.home.identity import Identity
from daemon.home.stages import count

LEASE = timedelta(minutes=10)
ATTEMPTS = 3
MOVES_AT_ONCE = 200


class Queue:
    """The changes of a video's state on its way."""

    def __init__(self, engine: Engine, owner: str, machine: str | None = None) -> None:
        """`owner` signs the claims, and begins with `machine` if those of others claim, too."""
        self.engine = engine
        self.owner = owner
        self.lease = SHARED_LEASE if machine else LEASE
        self._machine = machine
        self._writer = engine.execution_options(writes=True)
        self._beside = engine.execution_options(writes="shared")

    def close(self) -> None:
        """Close the database's file."""
        self.engine.dispose()

    def _begin(self) -> AbstractContextManager[Connection]:
        return self._writer.begin()

    def unknown(self, files: Sequence[Found], *, stay: bool = False) -> list[Found]:
        """Those of the files in the inbox that are not queued yet, or wait to be whole.

        A file that was left in the inbox is known. `stay` says whether files stay where they come.
        """
        with self.engine.begin() as connection:
            return unknown(connection, files, stay=stay)

    def enqueue(self, files: Sequence[Found], now: datetime, *, background: bool = False) -> int:
        """Queue whole files; gives how many were new: not queued before, and still there.

        A row that is not in hand yet follows its file: to another name, or to other content under
        its name. A second name of a file that has its first one is nothing new.

        Args:
            files: The files.
            now: The time.
            background: Whether they wait as long as other videos do.
        """
        with self._begin() as connection:
            return add_files(connection, files, now, background=background)

    def other_names(self, files: Sequence[Found]) -> list[Found]:
        """Those of the files that are only second names of finished videos' files (hard links)."""
        unknown = self.unknown(files)
        with self.engine.begin() as connection:
            return other_names(connection, unknown)

    def has_clip(self, stem: str) -> bool:
        """Whether a video that did not fail has this name, with any ending."""
        begins = and_(videos.c.name >= f"{stem}.", videos.c.name < f"{stem}/")  # "/" is next to "."
        found = select(videos.c.id).where(begins, videos.c.state != "failed").limit(1)
        with self.engine.begin() as connection:
            return connection.execute(found).first() is not None

    def claim(self, limit: int, now: datetime, which: Which = ALL) -> list[Claimed]:
        """Take the oldest of these queued videos into hand, those in the background last."""
        with self.engine.begin() as connection:
            if not oldest_due(connection, 1, now, which):
                return []
        claim = {"state": "claimed", "claimed_by": self.owner, "lease_until": now + self.lease}
        with self._beside.begin() as connection:
            rows = oldest_due(connection, limit, now, which, writes=True)
            these = videos.c.id.in_([row.id for row in rows])
            connection.execute(update(videos).where(these).values(**claim))
        return [Claimed.of(row) for row in rows]

    def renew_leases(self, now: datetime) -> None:
        """Note that what is in hand is still being worked on."""
        own = and_(videos.c.state == "claimed", videos.c.claimed_by == self.owner)
        with self._beside.begin() as connection:
            connection.execute(update(videos).where(own).values(lease_until=now + self.lease))

    def put_back_overdue(self, now: datetime) -> int:
        """Put the claims back that were not renewed in time; gives how many.

        Whoever made them is gone, or has stood still: it does not record these videos any more.
        """
        overdue = and_(videos.c.state == "claimed", videos.c.lease_until < now)
        with self.engine.begin() as connection:
            if connection.execute(select(videos.c.id).where(overdue).limit(1)).first() is None:
                return 0
        with self._begin() as connection:
            put_back = update(videos).where(overdue).values(state="queued", **FREED)
            return connection.execute(put_back).rowcount

    def recover(self) -> int:
        """Put all claims back, and end all pauses; gives how many claims there were.

        The caller holds the home's lock, so whoever made the claims on this machine is gone.
        """
        claimed = update(videos).where(videos.c.state == "claimed")
        if self._machine:
            begins = f"{self._machine}:"
            claimed = claimed.where(videos.c.claimed_by.startswith(begins, autoescape=True))
        paused = update(videos).where(videos.c.retry_at.is_not(None), videos.c.state != "waiting")
        with self._begin() as connection:
            put_back = connection.execute(claimed.values(state="queued", **FREED))
            connection.execute(paused.values(retry_at=None, held=None))
            return put_back.rowcount

    def release(self, ids: Iterable[int]) -> None:
        """Put claimed videos back as they were."""
        with self._begin() as connection:
            connection.execute(self._claimed(*ids).values(state="queued", **FREED))

    def wait(self, video_id: int, until: datetime) -> None:
        """The file changed after it was queued, or is gone.

        It is queued again if it is found whole by `until`.
        """
        with self._begin() as connection:
            change = {**FREED, "retry_at": until}
            connection.execute(self._claimed(video_id).values(state="waiting", **change))

    def hold(
        self, video_id: int, until: datetime, why: str | None = None, **more: datetime
    ) -> None:
        """Read the file again at `until`.

        Args:
            video_id: The video.
            until: When.
            why: What `vidwatch status` shows of it meanwhile; None if that is not worth a line.
            more: Other columns that change, such as `changed_at`.
        """
        with self._begin() as connection:
            change = {**FREED, "retry_at": until, "held": why, **more}
            connection.execute(self._claimed(video_id).values(state="queued", **change))

    def missing(self, now: datetime, longest: timedelta) -> list[Row]:
        """The rows of the videos whose file should have been found whole again by now.

        Args:
            now: The time.
            longest: How long a video waits for its file at most.
        """
        late = and_(videos.c.state == "waiting", is_over(now, max(longest, LONGEST_PAUSE)))
        with self.engine.begin() as connection:
            return list(connection.execute(select(videos).where(late)).mappings())

    def give_up(self, video_id: int, error: str, now: datetime) -> None:
        """The file that this video waited for did not come back."""
        waiting = update(videos).where(videos.c.id == video_id, videos.c.state == "waiting")
        with self._begin() as connection:
            failed = waiting.values(state="failed", error=error, finished_at=now, **FREED)
            if has_failed := connection.execute(failed).rowcount:
                forget_windows(connection, [video_id])
                note_failed(connection, [video_id])
        count("failed", has_failed)

    def postpone(self, ids: Iterable[int], trouble: str, now: datetime) -> None:
        """Temporary trouble prevents a prediction: try again, after a pause that grows."""
        self._try_later(and_(videos.c.id.in_(list(ids)), self._is_own()), trouble, now)

    def postpone_move(self, video_id: int, trouble: str, now: datetime, *, is_begun: bool) -> None:
        """As `postpone`, for a file that cannot be moved now.

        Args:
            video_id: The video.
            trouble: Why the file cannot be moved.
            now: The time.
            is_begun: Whether the file may have left its place. If so, that move is completed before
                the file goes anywhere else.
        """
        unmoved = and_(videos.c.id == video_id, videos.c.destination.is_not(None))
        kept = {} if is_begun else {"moving_to": None}
        self._try_later(unmoved, trouble, now, **kept)

    def _try_later(
        self, which: ColumnElement[bool], trouble: str, now: datetime, **more: None
    ) -> None:
        with self._begin() as connection:
            for row in connection.execute(select(videos).where(which)).all():
                state = "queued" if row.state == "claimed" else row.state
                pause = min(timedelta(seconds=2 ** min(row.tries + 1, 20)), LONGEST_PAUSE)
                later = {"trouble": trouble, "tries": row.tries + 1, "retry_at": now + pause}
                this = update(videos).where(videos.c.id == row.id)
                connection.execute(this.values(state=state, **{**FREED, **later, **more}))

    def count_crash(self, video_id: int, trouble: str, now: datetime) -> int:
        """Its decoder crashed on it, or ran out of time; it is queued again.

        Gives how often that has happened.
        """
        attempts_of_video = select(videos.c.attempts).where(videos.c.id == video_id)
        with self._begin() as connection:
            attempts = int(connection.scalar(attempts_of_video) or 0) + 1
            retry_at = now + timedelta(seconds=2**attempts)
            later = {"attempts": attempts, "trouble": trouble, "retry_at": retry_at}
            connection.execute(self._claimed(video_id).values(state="queued", **{**FREED, **later}))
            return attempts

    def fail(self, video_id: int, error: str, destination: bytes | None, now: datetime) -> None:
        """There will be no prediction: the file is to be moved to `destination`.

        If that is None, it stays where it is.
        """
        # A video that `count_crash` has just put back. One of fewer attempts was put back because
        # this daemon stood still: what it says of it may be wrong, and others do it.
        is_given_up = and_(videos.c.state == "queued", videos.c.attempts >= ATTEMPTS)
        unpredicted = or_(self._is_own(), is_given_up)
        change: dict[str, Any] = {"state": "failed", "error": error, **FREED}
        change["destination"] = destination
        change["finished_at"] = None if destination else now
        with self._begin() as connection:
            this = update(videos).where(videos.c.id == video_id, unpredicted)
            if has_failed := connection.execute(this.values(**change)).rowcount:
                forget_windows(connection, [video_id])
                note_failed(connection, [video_id])
        count("failed", has_failed)

    def moves(self, now: datetime) -> list[Move]:
        """Take the files into hand that are to be moved now.

        Where each is being moved is noted before any of them moves: if the file is found there, we
        have put it there. A move that was begun before is completed first, even if the file belongs
        elsewhere by now.

        At most `MOVES_AT_ONCE`: with more, nothing else would be done until all are moved.
        """
        pending = select(videos).where(videos.c.destination.is_not(None), is_due(now))
        first = pending.order_by(videos.c.id).limit(MOVES_AT_ONCE)
        with self.engine.begin() as connection:
            if connection.execute(first.limit(1)).first() is None:
                return []
        with self._begin() as connection:
            rows = connection.execute(first).all()
            new = videos.c.id.in_([row.id for row in rows if row.moving_to is None])
            connection.execute(update(videos).where(new).values(moving_to=videos.c.destination))
        return [
            Move(
                row.id,
                row.path,
                row.moving_to or row.destination,
                _identity(row._mapping),
                row.sha256,
                row.error,
                row.duplicate_of,
                row.dropped_at,
                row.origin,
                None if row.left_at else row.on_filed,
                is_begun=row.moving_to is not None,
            )
            for row in rows
        ]

    def redirect(self, video_id: int, taken: bytes, destination: bytes) -> None:
        """Another file has the name `taken`: note the new one before anything moves.

        If someone has labelled the video meanwhile, it still belongs where the label puts it.
        """
        this = update(videos).where(videos.c.id == video_id, videos.c.moving_to == taken)
        wanted = videos.c.destination
        change = {
            "moving_to": destination,
            "destination": case((wanted == taken, literal(destination, HomePath)), else_=wanted),
        }
        with self._begin() as connection:
            connection.execute(this.values(**change))

    def moved(self, moved: Mapping[int, Moved], now: datetime, unmoved: Iterable[int] = ()) -> None:
        """Note where the files that were in hand are now, or that they were taken away before.

        Args:
            moved: What became of each file, by the video's id.
            now: The time.
            unmoved: The videos whose files are where they were. They are moved later.
        """
        these = list(unmoved)
        with self._begin() as connection:
            note_moves(connection, moved, now)
            if these:
                untouched = update(videos).where(videos.c.id.in_(these))
                connection.execute(untouched.values(moving_to=None))

    def paths(self, video_ids: Iterable[int]) -> dict[int, bytes]:
        """Where each video's file was last seen: it may have been renamed while in hand."""
        these = select(videos.c.id, videos.c.path).where(videos.c.id.in_(list(video_ids)))
        with self.engine.begin() as connection:
            return {row.id: bytes(row.path) for row in connection.execute(these)}

    def busy(self) -> bool:
        """Whether anything is left to do that no temporary trouble prevents."""
        untroubled = and_(videos.c.finished_at.is_(None), videos.c.state != "waiting")
        left = select(videos.c.id).where(untroubled, videos.c.tries == 0).limit(1)
        with self.engine.begin() as connection:
            return connection.execute(left).first() is not None

    def _claimed(self, *ids: int) -> Update:
        """A change of videos in hand. What has happened to a row meanwhile is not undone."""
        return update(videos).where(videos.c.id.in_(ids), self._is_own())

    def _is_own(self) -> ColumnElement[bool]:
        return and_(videos.c.state == "claimed", videos.c.claimed_by == self.owner)


def _identity(row: Row) -> Identity:
    return Identity(*(row[name] for name in Identity._fields))

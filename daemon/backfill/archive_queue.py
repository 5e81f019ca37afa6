"""A queue that gives out the files of archives as they are listed, and nothing else of a home."""

import os
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, and_, or_, select, update

from daemon.database.due import ALL, Which
from daemon.database.files import Row
from daemon.database.queue import LEASE, Queue
from daemon.database.records import FREED, Claimed, Move
from daemon.database.tables import videos
from daemon.database.taking import take, take_again, to_do
from daemon.home.folders import Found

SIGN = "backfill:"
"""What the signature of a claim begins with."""
PASSES = 50  # batches of known files that are passed over before what is in hand has its turn
ASKED_AT_ONCE = 1000  # rows in a query: databases limit its parameters


def signature() -> str:
    """What signs the claims of this process."""
    return f"{SIGN}{socket.gethostname()}:{os.getpid()}"


class ArchiveQueue(Queue):
    """The files of a listing. A row is written when a file comes into hand, and no earlier.

    What comes into the home by other ways stays in the queue, for the daemon.
    """

    def __init__(
        self, engine: Engine, owner: str, files: Iterator[Sequence[Found]], now: datetime
    ) -> None:
        """Nothing is in hand yet.

        Args:
            engine: Of the database.
            owner: Signs the claims, as `signature` has it.
            files: The files, batch by batch.
            now: The time. What has failed before it is tried again.
        """
        super().__init__(engine, owner)
        self.n_known = 0
        """How many files had been done before, or are left to the daemon."""
        self.n_given = 0
        """How many were to be done."""
        self._files = files
        self._began = now
        self._next: list[Found] = []
        self.is_listed = False
        """Whether there are no more files."""
        self.n_left = 0
        """How many videos temporary trouble prevented, of those that are not open any more."""
        self._open: set[int] = set()  # videos that were in hand, and may have to come again

    def claim(self, limit: int, now: datetime, which: Which = ALL) -> list[Claimed]:
        """Take the next files into hand, at most so many, after those that have to come again."""
        claimed = self._again(limit, now)
        passed = 0
        while len(claimed) < limit and passed < PASSES and (files := self.to_do()) is not None:
            passed += 1
            these = files[: limit - len(claimed)]
            self._next = files[limit - len(claimed) :]
            if these:
                with self._begin() as connection:
                    since = self._began
                    taken = take(connection, these, self.owner, now, LEASE, since=since)
                self.n_known += len(these) - len(taken)
                claimed += taken
        self._open.update(video.id for video in claimed)
        return claimed

    def _again(self, limit: int, now: datetime) -> list[Claimed]:
        claimed: list[Claimed] = []
        for ids in self._open_ids():
            if len(claimed) < limit:
                with self._begin() as connection:
                    most = limit - len(claimed)
                    claimed += take_again(connection, ids, most, self.owner, now, LEASE)
        return claimed

    def to_do(self) -> list[Found] | None:
        """The next files that are to be done, perhaps none; None at the end of the listing."""
        if self._next or self.is_listed:
            return self._next or None
        files = next(self._files, None)
        if files is None:
            self.is_listed = True
            return None
        with self.engine.begin() as connection:
            found = to_do(connection, files, self._began)
        self.n_known += len(files) - len(found)
        self.n_given += len(found)
        return found

    def moves(self, now: datetime) -> list[Move]:
        """None: the files of archives stay, and all others are moved by the daemon."""
        return []

    def recover(self) -> int:
        """Put the claims back of backfills that were killed, on any machine; gives how many.

        The caller holds the lock of backfills on this home.
        """
        is_backfill = videos.c.claimed_by.startswith(SIGN)
        claimed = update(videos).where(videos.c.state == "claimed", is_backfill)
        with self._begin() as connection:
            return connection.execute(claimed.values(state="queued", **FREED)).rowcount

    def missing(self, now: datetime, longest: timedelta) -> list[Row]:
        """The rows of the videos that were in hand, and whose files were gone or had changed."""
        is_late = and_(videos.c.state == "waiting", videos.c.retry_at <= now)
        return [row._mapping for row in self._of_open(select(videos).where(is_late))]

    def _open_ids(self) -> list[list[int]]:
        ids = sorted(self._open)
        return [ids[first : first + ASKED_AT_ONCE] for first in range(0, len(ids), ASKED_AT_ONCE)]

    def _of_open(self, query: Select[Any]) -> list[Any]:
        """The rows that a query gives of the videos that were in hand."""
        rows: list[Any] = []
        with self.engine.begin() as connection:
            for ids in self._open_ids():
                rows += connection.execute(query.where(videos.c.id.in_(ids)))
        return rows

    @property
    def n_open(self) -> int:
        """How many videos were in hand, and were not done when this was looked at last."""
        return len(self._open)

    def tend(self, now: datetime) -> int:
        """Forget the videos that are done; gives how many are left. Comes after `settle_missing`.

        Those that temporary trouble prevents are left to the next backfill, or to the daemon: if
        many are in trouble, trying them again would keep the others waiting for ever.
        """
        is_in_trouble = or_(
            and_(videos.c.state == "queued", videos.c.tries > 0),
            and_(videos.c.state == "waiting", videos.c.retry_at <= now),  # its archive is away
        )
        left = select(videos.c.id, is_in_trouble.label("is_in_trouble"))
        rows = self._of_open(left.where(videos.c.finished_at.is_(None)))
        self._open = {row.id for row in rows if not row.is_in_trouble}
        self.n_left += len(rows) - len(self._open)
        return len(self._open)

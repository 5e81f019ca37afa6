"""The newest videos that match, some at a time, within a time that a person waits. Only reads.

If an index says that few can match, these are looked through at once. If not, the search goes
through the videos in the order of their ids, a stretch of ids after the other, until enough are
found or the time is over. Then it says how far it came.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from daemon.database.tables import videos
from daemon.export.candidates import Candidates, Span, candidates
from daemon.export.filters import Filters
from daemon.export.query import with_answers

FEW = 10_000  # videos, which are looked through at once
BOUNDED = 100_000  # videos whose ids are read to know between which ids a time lies
FIRST = 1000  # ids of the first stretch
FASTER = 4  # times as many are in the next one, at most
PATIENCE = 0.1  # seconds


@dataclass(frozen=True)
class Listing:
    """Some of the videos that match."""

    ids: tuple[int, ...]
    """The newest first."""
    go_on: int | None
    """From which id to go on; None if all were searched."""
    is_over_time: bool
    """Whether the time was over before enough were found."""


@dataclass(frozen=True)
class Count:
    """How many videos match."""

    n: int
    is_all: bool
    """If not, there are more, or may be."""
    is_over_time: bool


class Search:
    """A search for the videos that filters match, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        filters: Filters,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare it.

        Args:
            connection: To the database.
            filters: What is asked for.
            patience: How long a question may take, in seconds.
            clock: What measures them.

        Raises:
            VidwatchError: a filter names what does not exist.
        """
        self._connection = connection
        self._patience = patience
        self._clock = clock
        self._conditions = filters.conditions(connection)
        self._asks_for_answers = filters.asks_for_answers
        newest = connection.scalar(select(func.max(videos.c.id)))
        oldest = connection.scalar(select(func.min(videos.c.id)))
        self._whole: Span = (oldest or 0, newest or -1)
        self._span = self._whole
        sets = list(candidates(connection, filters))
        few = (one for one in sets if one.bounds(connection, self._whole, FEW))
        self._few = next(few, None)
        self._sets = [one for one in sets if one.by_stretches]
        for one in sets:
            if self._few is None and not one.by_stretches:
                self._narrow(one)

    def page(self, most: int, *, before: int | None = None, after: int | None = None) -> Listing:
        """The newest of the videos that match, or those next to an id.

        Args:
            most: How many, at most.
            before: Only videos that are older than this one.
            after: Only videos that are newer than this one: the oldest of these.
        """
        low, high = self._span
        is_up = after is not None
        if after is not None:
            low = max(low, after + 1)
        elif before is not None:
            high = min(high, before - 1)
        found: list[int] = []
        reached = high if is_up else low
        is_over_time = False
        for stretch, is_last in self._stretches((low, high), is_up=is_up):
            found += self._ids(stretch, most + 1 - len(found), is_up=is_up)
            if len(found) > most:
                break
            reached = stretch[1] if is_up else stretch[0]
            is_over_time = not is_last
        ids = tuple(sorted(found[:most], reverse=True))
        if len(found) > most:
            return Listing(ids, found[most - 1], False)
        return Listing(ids, reached if is_over_time else None, is_over_time)

    def count(self, most: int = FEW) -> Count:
        """How many match: `most` at most are counted."""
        n = 0
        is_over_time = False
        for stretch, is_last in self._stretches(self._span, is_up=False):
            n += len(self._ids(stretch, most + 1 - n, is_up=False))
            if n > most:
                return Count(most, False, False)
            is_over_time = not is_last
        return Count(n, not is_over_time, is_over_time)

    def _narrow(self, some: Candidates) -> None:
        """Leave out the ids before and after those of candidates.

        Ids grow as videos come, so what is of one time mostly lies between two ids. A copy may be
        much newer than its content.
        """
        span = None if some.are_contents else some.bounds(self._connection, self._whole, BOUNDED)
        self._span = span or self._span

    def _stretches(self, span: Span, *, is_up: bool) -> Iterator[tuple[Span, bool]]:
        """Parts of a span, one after the other, until the time is over; whether it is the last."""
        low, high = span
        end = self._clock() + self._patience
        size = high - low + 1 if self._few else FIRST
        while low <= high:
            size = max(1, min(size, high - low + 1))
            stretch = (low, low + size - 1) if is_up else (high - size + 1, high)
            low, high = (low + size, high) if is_up else (low, high - size)
            began = self._clock()
            yield stretch, low > high
            ended = self._clock()
            if ended >= end:
                return
            fitting = size * (end - ended) / max(ended - began, 1e-6)
            size = int(min(FASTER * size, max(fitting, FIRST)))

    def _ids(self, span: Span, most: int, *, is_up: bool) -> Sequence[int]:
        """The ids of those in a span that match, in the order of the search."""
        query: Select[Any] = select(videos.c.id)
        if self._asks_for_answers:
            query = with_answers(query)
        order = videos.c.id if is_up else videos.c.id.desc()
        query = query.where(*self._in(span), *self._conditions).order_by(order).limit(most)
        return self._connection.scalars(query).all()

    def _in(self, span: Span) -> Iterator[ColumnElement[bool]]:
        yield videos.c.id.between(*span)
        if self._few:
            yield videos.c.id.in_(self._few.all(self._whole))
        else:
            for one in self._sets:
                yield videos.c.id.in_(one.in_stretch(span))

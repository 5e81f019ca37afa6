"""Sets of videos that hold all that a filter matches, and that an index gives. Only reads."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Connection, Select, func, select, union_all

from daemon.database.tables import labels, predictions, videos
from daemon.export.filters import Filters, classes_named, is_from
from daemon.labels.classes import changed_names
from daemon.report.events import UNSURE

Span = tuple[int, int]
"""The first id, and the last."""
EMPTY: Span = (0, -1)
Parts = list[Select[Any]]
"""Queries of ids, all of which are meant."""


@dataclass(frozen=True)
class Candidates:
    """Videos of which some may not match."""

    within: Callable[[Span], Parts]
    """Those whose ids lie in a span."""
    are_contents: bool = False
    """Whether they are first videos of contents: their copies are candidates, too."""
    by_stretches: bool = True
    """Whether those of a short span are found as fast as they are few."""

    def in_stretch(self, span: Span) -> CompoundSelect[Any]:
        """All candidates whose ids lie in a span."""
        parts = self.within(span)
        if self.are_contents:
            # Whatever they are copies of.
            copies = select(videos.c.id).where(videos.c.duplicate_of.is_not(None))
            parts.append(copies.where(videos.c.id.between(*span)))
        return union_all(*parts)

    def all(self, span: Span) -> CompoundSelect[Any]:
        """All candidates, if those of the whole span are few."""
        parts = self.within(span)
        if self.are_contents:
            is_copy = videos.c.duplicate_of.in_(union_all(*self.within(span)))
            parts.append(select(videos.c.id).where(is_copy))
        return union_all(*parts)

    def bounds(self, connection: Connection, span: Span, most: int) -> Span | None:
        """The first and the last id of those in a span; None if there are more than `most`."""
        some = union_all(*self.within(span)).limit(most + 1).subquery()
        (column,) = some.c
        ends = select(func.count(), func.min(column), func.max(column)).select_from(some)
        n, first, last = connection.execute(ends).one()
        if n > most:
            return None
        return (first, last) if n else EMPTY


def candidates(connection: Connection, filters: Filters) -> Iterator[Candidates]:
    """A set for each filter for which there is one."""
    asked = classes_named(connection, filters.classes)
    if asked and UNSURE not in asked:
        of_people = labels.c["class"].in_(asked)
        yield _contents(_predicted(connection, asked), _labelled(of_people))
    predicted = classes_named(connection, filters.predicted)
    if predicted and UNSURE not in predicted:
        yield _contents(_predicted(connection, predicted))
    labelled = classes_named(connection, filters.labels)
    if labelled and UNSURE not in labelled:
        yield _contents(_labelled(labels.c["class"].in_(labelled)))
    if filters.labelled_by:
        given = _labelled(labels.c.who.in_(filters.labelled_by))
        yield Candidates(_within(given), are_contents=True, by_stretches=False)
    for source in filters.sources if len(filters.sources) == 1 else ():
        yield Candidates(_within(select(videos.c.id).where(is_from(source))))
    if filters.states:
        of_states = select(videos.c.id).where(videos.c.state.in_(filters.states))
        yield Candidates(_within(of_states))
    if (filters.start or filters.end) and not filters.by_arrival:
        yield Candidates(_within(*_at_times(filters)), by_stretches=False)


def _contents(*queries: Select[Any]) -> Candidates:
    """The videos to which rows of predictions or labels belong."""
    return Candidates(_within(*queries), are_contents=True)


def _within(*queries: Select[Any]) -> Callable[[Span], Parts]:
    return lambda span: [query.where(query.selected_columns[0].between(*span)) for query in queries]


def _predicted(connection: Connection, classes: Collection[str]) -> Select[Any]:
    """What is predicted as classes, by these or by former names."""
    changed = changed_names(connection)
    former = [old for old, new in changed.items() if new in classes]
    names = [*former, *(name for name in classes if name not in changed)]
    return select(predictions.c.video_id).where(predictions.c["class"].in_(names))


def _labelled(condition: ColumnElement[bool]) -> Select[Any]:
    return select(labels.c.video_id).where(condition)


def _at_times(filters: Filters) -> Parts:
    """Those of a time: each of the two kinds has an index of its own."""
    recorded = select(videos.c.id).where(videos.c.recorded_at.is_not(None))
    others = select(videos.c.id).where(videos.c.recorded_at.is_(None))
    if filters.start:
        recorded = recorded.where(videos.c.recorded_at >= filters.start)
        others = others.where(videos.c.arrived_at >= filters.start)
    if filters.end:
        recorded = recorded.where(videos.c.recorded_at < filters.end)
        others = others.where(videos.c.arrived_at < filters.end)
    return [recorded, others]

"""Notes events for the receivers that want them, in the transaction that makes the event.

So an event is kept if and only if what it tells is. If no receiver wants it, nothing is written.
Whoever makes an event may be the daemon, a command or the review page; the daemon sends them all.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Table, bindparam, func, insert, select

from daemon.database.expressions import that_counts
from daemon.database.records import Copy, VideoPrediction
from daemon.database.tables import labels, outbox, part_labels, predictions, receivers
from daemon.home import clock
from daemon.home.folders import UNSURE

UNSURE_FOLDER = os.fsdecode(UNSURE)
# What the settings call an event, if that is not the value of the column.
ASKED_FOR_AS = {"labelled_part": "labelled"}

_RECEIVERS = select(receivers.c.id, receivers.c.events, receivers.c.classes)
_INSERT = insert(outbox)
_CLASSES = select(predictions.c.video_id, predictions.c["class"], predictions.c.doubt).where(
    predictions.c.video_id.in_(bindparam("ids", expanding=True)), that_counts()
)


@dataclass(frozen=True)
class Event:
    """Something that other programs may want to hear of."""

    subject: int | None
    """The row that it is about; None for trouble."""
    video_id: int | None = None
    """The video whose row has to stay until the event was sent; None if no row may go."""
    class_name: str | None = None
    """The class that it is about: its folder, so "_unsure" if the prediction is unsure. None if it
    is about no class: then all receivers get it, whichever classes they want.
    """
    text: str | None = None
    """What is the trouble."""


def note_events(connection: Connection, kind: str, found: Sequence[Event], now: datetime) -> None:
    """Note events of one kind for all receivers that want them.

    Args:
        connection: In a transaction that writes.
        kind: One of `values.EVENTS`.
        found: The events.
        now: The time.
    """
    _note(connection, kind, found, _who_wants(connection, kind), now)


def note_failed(connection: Connection, ids: Sequence[int]) -> None:
    """Note that these videos will have no prediction. The connection is in a transaction."""
    note_events(connection, "failed", [Event(each, each) for each in ids], clock.now())


def note_classified(
    connection: Connection,
    recorded: Sequence[tuple[VideoPrediction | Copy, int | None]],
    new_names: Mapping[str, str],
    now: datetime,
) -> None:
    """Note that videos have a prediction.

    Args:
        connection: In a transaction that writes.
        recorded: Each video, with the first one of its content, if it is none itself.
        new_names: The new names of renamed classes, by the old ones.
        now: The time.
    """
    wanting = _who_wants(connection, "classified")
    if not wanting or not recorded:
        return
    originals = [original for _, original in recorded if original is not None]
    of_originals = {}
    if originals:
        rows = connection.execute(_CLASSES, {"ids": originals}).mappings()
        of_originals = {row["video_id"]: (row["class"], row["doubt"]) for row in rows}
    events = []
    for found, original in recorded:
        predicted: tuple[str | None, str | None] = (None, None)
        if original is not None:
            predicted = of_originals.get(original, predicted)
        elif isinstance(found, VideoPrediction):
            predicted = (found.prediction.class_name, found.unsure)
        name, doubt = predicted
        folder = UNSURE_FOLDER if doubt else new_names.get(name or "", name or "")
        events.append(Event(found.video_id, found.video_id, folder or None))
    _note(connection, "classified", events, wanting, now)


def note_labels(
    connection: Connection, which: ColumnElement[bool], now: datetime, table: Table = labels
) -> None:
    """Note that labels were given or taken back.

    A class that is renamed or retired gives labels anew; that is no event.

    Args:
        connection: In a transaction that writes.
        which: These rows.
        now: The time.
        table: `part_labels` for labels of parts.
    """
    kind = "labelled_part" if table is part_labels else "labelled"
    if not (wanting := _who_wants(connection, kind)):
        return
    before = table.alias()
    name = func.coalesce(table.c["class"], before.c["class"]).label("name")
    query = select(table.c.id, name)
    query = query.outerjoin(before, before.c.id == table.c.takes_back).where(which)
    events = [
        Event(row.id, class_name=row.name or UNSURE_FOLDER)
        for row in connection.execute(query.order_by(table.c.id))
    ]
    _note(connection, kind, events, wanting, now)


def _who_wants(connection: Connection, kind: str) -> list[Any]:
    name = ASKED_FOR_AS.get(kind, kind)
    return [row for row in connection.execute(_RECEIVERS) if name in row.events]


def _note(
    connection: Connection,
    kind: str,
    found: Sequence[Event],
    wanting: Sequence[Any],
    now: datetime,
) -> None:
    rows = []
    for event in found if wanting else ():
        columns = {"event": kind, "event_id": uuid4().hex, "created_at": now}
        columns |= {"subject": event.subject, "video_id": event.video_id, "text": event.text}
        for receiver in wanting:
            is_any = not receiver.classes or event.class_name is None
            if is_any or event.class_name in receiver.classes:
                rows.append({**columns, "receiver_id": receiver.id})
    if rows:
        connection.execute(_INSERT, rows)

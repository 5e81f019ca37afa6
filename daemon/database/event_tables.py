"""The tables of what is told to other programs: who is told, and what waits to be sent."""

from sqlalchemy import JSON, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from daemon.database.columns import Id, Utc, metadata, one_of
from daemon.database.values import EVENTS

# The commands, addresses and brokers of the settings, which are told of events. The daemon writes
# them when it starts. Every process that makes an event looks here whether anybody wants it.
receivers = Table(
    "receivers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # The events that it wants.
    Column("events", JSON, nullable=False),
    # The classes that it wants to hear of; empty: all.
    Column("classes", JSON, nullable=False),
    # When it was first in the settings: it is told of nothing that came before.
    Column("since", Utc, nullable=False),
    Column("delivered_at", Utc),
    # Why it cannot be reached, and since when. NULL if it was reached last time.
    Column("failure", Text),
    Column("failing_since", Utc),
    # How many events were given up: see `daemon/notify/delivery.py`.
    Column("given_up", Integer, nullable=False, server_default="0"),
)

# A row for each event that a receiver has not been sent yet. It is removed when it was sent. What
# the event says is read from the other tables when it is sent.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("receiver_id", Id, ForeignKey("receivers.id", ondelete="CASCADE"), nullable=False),
    Column("event", Text, nullable=False),
    # The same for all receivers, and at each try.
    Column("event_id", Text, nullable=False),
    # The row that it is about: in `videos`, `labels`, `part_labels`, `decisions` or `trainings`.
    # NULL for trouble, which has a text instead.
    Column("subject", Id),
    # The video's row is not removed before the event was sent. NULL if it is about none, or about a
    # label: what has one is never removed.
    Column("video_id", Id, ForeignKey("videos.id")),
    Column("text", Text),
    Column("created_at", Utc, nullable=False),
    CheckConstraint(one_of("event", EVENTS), name="event"),
    CheckConstraint("(subject IS NULL) = (text IS NOT NULL)", name="subject"),
    Index("ix_outbox_receiver_id_id", "receiver_id", "id"),
    Index("ix_outbox_video_id", "video_id"),
)

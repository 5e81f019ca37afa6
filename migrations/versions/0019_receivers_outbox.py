"""Other programs are told of events, and what they were not told yet is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

EVENT = "event IN ('classified', 'failed', 'labelled', 'labelled_part', 'promoted', 'training_failed', 'trouble')"


def upgrade() -> None:
    op.create_table(
        "receivers",
        sa.Column("id", sa.Integer),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.Column("delivered_at", sa.DateTime),
        sa.Column("failure", sa.Text),
        sa.Column("failing_since", sa.DateTime),
        sa.Column("given_up", sa.Integer, nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_receivers")),
        sa.UniqueConstraint("name", name=op.f("uq_receivers_name")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer),
        sa.Column("receiver_id", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("subject", sa.Integer),
        sa.Column("video_id", sa.Integer),
        sa.Column("text", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.CheckConstraint(EVENT, name=op.f("ck_outbox_event")),
        sa.CheckConstraint(
            "(subject IS NULL) = (text IS NOT NULL)", name=op.f("ck_outbox_subject")
        ),
        sa.ForeignKeyConstraint(
            ["receiver_id"],
            ["receivers.id"],
            name=op.f("fk_outbox_receiver_id_receivers"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_outbox_video_id_videos")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_receiver_id_id", "outbox", ["receiver_id", "id"])
    op.create_index("ix_outbox_video_id", "outbox", ["video_id"])

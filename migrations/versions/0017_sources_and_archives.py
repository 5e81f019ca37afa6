"""Videos of other folders than the inbox: where they came from, and whether their files stay."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.add_column("videos", sa.Column("origin", sa.LargeBinary))
    words = "on_filed IN ('copy', 'hardlink', 'leave')"
    op.execute(
        f"ALTER TABLE videos ADD COLUMN on_filed TEXT CONSTRAINT ck_videos_on_filed CHECK ({words})"
    )
    op.add_column("videos", sa.Column("left_at", sa.LargeBinary))
    op.add_column("videos", sa.Column("left_size", sa.BigInteger))
    op.add_column("videos", sa.Column("left_mtime_ns", sa.BigInteger))
    op.add_column("videos", sa.Column("background", sa.Boolean, nullable=False, server_default="0"))
    op.add_column("videos", sa.Column("own_model", sa.Text))
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_videos_queue",
        "videos",
        ["background", "own_model", "id", "retry_at", "origin", "state"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    known = sa.text("left_at IS NOT NULL")
    op.create_index(
        "ix_videos_left_at", "videos", ["left_at"], sqlite_where=known, postgresql_where=known
    )

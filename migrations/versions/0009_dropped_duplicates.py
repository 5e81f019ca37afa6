"""Videos have the time when their file was dropped as a duplicate, and are found by their size."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("videos", sa.Column("dropped_at", sa.DateTime))
    known = sa.text("sha256 IS NOT NULL")
    op.create_index(
        "ix_videos_size", "videos", ["size"], sqlite_where=known, postgresql_where=known
    )

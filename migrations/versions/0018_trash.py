"""Which files are in the trash, and which were deleted from it."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("videos", sa.Column("trashed_at", sa.DateTime))
    op.add_column("videos", sa.Column("removed_at", sa.DateTime))
    is_there = sa.text("trashed_at IS NOT NULL AND removed_at IS NULL")
    op.create_index(
        "ix_videos_trash", "videos", ["id"], sqlite_where=is_there, postgresql_where=is_there
    )

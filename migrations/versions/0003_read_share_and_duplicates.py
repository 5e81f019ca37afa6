"""Predictions record how much of a clip was there to be read.

The duplicates of a video can be found by an index.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("read_share", sa.Float))
    op.drop_index("ix_videos_duplicate_of", "videos")
    known = sa.text("duplicate_of IS NOT NULL")
    op.create_index(
        "ix_videos_duplicate_of",
        "videos",
        ["duplicate_of"],
        sqlite_where=known,
        postgresql_where=known,
    )

"""Videos have when vidwatch last saw their file change, and why they are read again later."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("videos", sa.Column("changed_at", sa.DateTime))
    op.add_column("videos", sa.Column("held", sa.Text))
    known = sa.text("held IS NOT NULL")
    op.create_index("ix_videos_held", "videos", ["id"], sqlite_where=known, postgresql_where=known)

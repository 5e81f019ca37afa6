"""Unfinished videos are told by the device of their file, too.

The older rows have none: it is noted when their file is found again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("videos", sa.Column("device", sa.BigInteger))
    op.drop_index("uq_videos_unfinished", "videos")
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "uq_videos_unfinished",
        "videos",
        ["inode", "size", "mtime_ns", "device"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )

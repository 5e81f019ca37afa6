"""Videos have the place that their file is being moved to, apart from the place where it belongs.

A label may change where a file belongs while that file is being moved.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("videos", sa.Column("moving_to", sa.LargeBinary))
    known = sa.text("moving_to IS NOT NULL")
    op.create_index(
        "ix_videos_moving_to", "videos", ["id"], sqlite_where=known, postgresql_where=known
    )

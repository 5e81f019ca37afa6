"""Indexes of what is to be reviewed next, so that a million clips that wait are not read for it."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    columns = ["doubt", "probability", "video_id", "kind"]
    op.create_index("ix_predictions_doubt", "predictions", columns)
    op.create_index("ix_predictions_class", "predictions", ["class", *columns])
    op.create_index(
        "ix_videos_sampled",
        "videos",
        ["sha256", "id"],
        sqlite_where=sa.text("sampled = 1"),
        postgresql_where=sa.text("sampled"),
    )

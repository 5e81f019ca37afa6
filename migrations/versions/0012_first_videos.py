"""The first video of a content is found by an index, however many duplicates it has."""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.drop_index("ix_videos_sha256", "videos")
    op.create_index("ix_videos_sha256", "videos", ["sha256", "duplicate_of"])

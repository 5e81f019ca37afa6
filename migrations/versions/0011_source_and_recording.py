"""Videos have the folder that they came from, when they were recorded, and by which camera."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("videos", sa.Column("source", sa.Text))
    op.add_column("videos", sa.Column("recorded_at", sa.DateTime))
    op.add_column("videos", sa.Column("recorded_by", sa.Text))
    op.add_column("videos", sa.Column("camera", sa.Text))

"""How much moves in a video; which stream a prediction is of, and what was done to its colours."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("videos", sa.Column("movement", sa.Float))
    op.add_column("predictions", sa.Column("stream", sa.Integer))
    op.add_column("predictions", sa.Column("colours", sa.Text))

"""Predictions record how familiar their clip looks."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("familiarity", sa.Float))

"""The database knows at which path its home lies."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table("home", sa.Column("root", sa.LargeBinary, nullable=False))

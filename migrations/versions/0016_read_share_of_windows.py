"""Of each window, the share of its frames that could be read."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("windows", sa.Column("read_share", sa.Float, nullable=False, server_default="1"))

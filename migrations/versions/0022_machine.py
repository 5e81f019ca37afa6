"""Of several machines, which one predicted."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    on_server = op.get_bind().dialect.name == "postgresql"
    text = sa.Text(collation="C") if on_server else sa.Text
    op.add_column("predictions", sa.Column("machine", text))

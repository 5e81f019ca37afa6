"""Several daemons share a database on a server, and a home's folder on a share."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    on_server = op.get_bind().dialect.name == "postgresql"
    text = sa.Text(collation="C") if on_server else sa.Text
    op.add_column("home", sa.Column("mark", text))
    op.create_table(
        "daemons",
        sa.Column("machine", text),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", text, nullable=False),
        sa.Column("model", text),
        sa.Column("device", text),
        sa.Column("since", sa.DateTime, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.Column("clips", sa.Integer, nullable=False),
        sa.Column("clips_a_minute", sa.Float, nullable=False),
        sa.Column("leads", sa.Boolean, nullable=False),
        sa.Column("notices", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("machine", name=op.f("pk_daemons")),
    )

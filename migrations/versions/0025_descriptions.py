"""What people write of classes, and which failures they have seen and want to see no more."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    on_server = op.get_bind().dialect.name == "postgresql"
    text = sa.Text(collation="C") if on_server else sa.Text
    op.create_table(
        "class_descriptions",
        sa.Column("class", text, nullable=False),
        sa.Column("text", text, nullable=False),
        sa.Column("who", text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("class", name=op.f("pk_class_descriptions")),
    )
    op.add_column("videos", sa.Column("forgotten_at", sa.DateTime))
    condition = sa.text("forgotten_at IS NOT NULL")
    op.create_index(
        "ix_videos_forgotten_at",
        "videos",
        ["state", "id"],
        sqlite_where=condition,
        postgresql_where=condition,
    )

"""Classes can be renamed and retired. Class folders that a person renamed are asked about."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "class_names",
        sa.Column("old", sa.Text),
        sa.Column("new", sa.Text),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("old", name=op.f("pk_class_names")),
    )
    op.create_table(
        "renamed_folders",
        sa.Column("id", sa.Integer),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("old", sa.Text, nullable=False),
        sa.Column("new", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renamed_folders")),
        sa.UniqueConstraint("kind", "old", "new", name=op.f("uq_renamed_folders_kind_old_new")),
    )

"""Parts of long videos have labels of their own, and videos are found by what is in them."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

SOURCE = "source IN ('folder', 'moved', 'command', 'accepted', 'csv', 'page')"


def upgrade() -> None:
    op.create_index("ix_windows_class", "windows", ["class", "video_id"])
    op.add_column(
        "trainings", sa.Column("last_part_label", sa.Integer, nullable=False, server_default="0")
    )
    op.create_table(
        "part_labels",
        sa.Column("id", sa.Integer),
        sa.Column("video_id", sa.Integer, nullable=False),
        sa.Column("start_s", sa.Float, nullable=False),
        sa.Column("end_s", sa.Float, nullable=False),
        sa.Column("class", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("takes_back", sa.Integer),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.CheckConstraint(SOURCE, name=op.f("ck_part_labels_source")),
        sa.CheckConstraint("start_s < end_s", name=op.f("ck_part_labels_part")),
        sa.CheckConstraint(
            "(class IS NULL) = (takes_back IS NOT NULL)", name=op.f("ck_part_labels_takes_back")
        ),
        sa.ForeignKeyConstraint(
            ["video_id"], ["videos.id"], name=op.f("fk_part_labels_video_id_videos")
        ),
        sa.ForeignKeyConstraint(
            ["takes_back"], ["part_labels.id"], name=op.f("fk_part_labels_takes_back_part_labels")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_labels")),
        sa.UniqueConstraint("takes_back", name=op.f("uq_part_labels_takes_back")),
    )
    op.create_index("ix_part_labels_video_id", "part_labels", ["video_id"])

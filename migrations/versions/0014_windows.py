"""Long videos have windows, each with a prediction of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

DOUBT = "doubt IN ('probability', 'unknown')"


def upgrade() -> None:
    op.create_table(
        "windows",
        sa.Column("id", sa.Integer),
        sa.Column("video_id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("start_s", sa.Float, nullable=False),
        sa.Column("end_s", sa.Float, nullable=False),
        sa.Column("class", sa.Text, nullable=False),
        sa.Column("class_index", sa.Integer, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("logits", sa.JSON, nullable=False),
        sa.Column("frames_read", sa.Integer, nullable=False),
        sa.Column("doubt", sa.Text),
        sa.Column("familiarity", sa.Float),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("movement", sa.Float),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.CheckConstraint(DOUBT, name=op.f("ck_windows_doubt")),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.id"],
            name=op.f("fk_windows_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_windows_model_id_models")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_windows")),
        sa.UniqueConstraint(
            "video_id", "model_id", "number", name=op.f("uq_windows_video_id_model_id_number")
        ),
    )

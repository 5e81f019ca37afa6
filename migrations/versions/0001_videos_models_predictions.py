"""The tables of videos, models and predictions.

The view `prediction_logits` has one row for each class, for people with a SQL browser.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# The elements of two lists side by side. SQLite keeps this text, so it stays as it is.
EACH = """JOIN json_each(m.classes) c
        JOIN json_each(p.logits) l ON l.key = c.key"""
ELEMENTS = """JOIN LATERAL json_array_elements_text(m.classes) WITH ORDINALITY c(value, key) ON true
        JOIN LATERAL json_array_elements_text(p.logits) WITH ORDINALITY l(value, key) ON l.key = c.key"""


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("classes", sa.JSON, nullable=False),
        sa.Column("measured", sa.JSON, nullable=False),
        sa.Column("used_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("digest", name="uq_models_digest"),
    )
    op.create_table(
        "videos",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("group", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("sha256", sa.Text),
        sa.Column("duplicate_of", sa.Integer),
        sa.Column("destination", sa.LargeBinary),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("trouble", sa.Text),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("retry_at", sa.DateTime),
        sa.Column("claimed_by", sa.Text),
        sa.Column("lease_until", sa.DateTime),
        sa.Column("arrived_at", sa.DateTime, nullable=False),
        sa.Column("finished_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_videos"),
        sa.ForeignKeyConstraint(
            ["duplicate_of"], ["videos.id"], name="fk_videos_duplicate_of_videos"
        ),
        sa.CheckConstraint(
            "state IN ('waiting', 'queued', 'claimed', 'classified', 'filed', 'failed')",
            name="ck_videos_state",
        ),
    )
    op.create_index("ix_videos_sha256", "videos", ["sha256"])
    op.create_index("ix_videos_finished_at", "videos", ["finished_at"])
    op.create_index("ix_videos_state_id", "videos", ["state", "id"])
    unfinished = _where("finished_at IS NULL")
    op.create_index(
        "uq_videos_unfinished", "videos", ["inode", "size", "mtime_ns"], unique=True, **unfinished
    )
    op.create_index("ix_videos_unfinished_path", "videos", ["path"], **unfinished)
    for name in ("destination", "error", "trouble", "duplicate_of"):
        op.create_index(f"ix_videos_{name}", "videos", ["id"], **_where(f"{name} IS NOT NULL"))
    op.create_table(
        "predictions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("video_id", sa.Integer, nullable=False),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("class", sa.Text, nullable=False),
        sa.Column("class_index", sa.Integer, nullable=False),
        sa.Column("probability", sa.Float, nullable=False),
        sa.Column("logits", sa.JSON, nullable=False),
        sa.Column("frames_asked", sa.Integer, nullable=False),
        sa.Column("frames_read", sa.Integer, nullable=False),
        sa.Column("decoder", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_predictions"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_predictions_video_id_videos"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_predictions_model_id_models"),
        sa.UniqueConstraint("video_id", "model_id", name="uq_predictions_video_id_model_id"),
    )
    on_server = op.get_bind().dialect.name == "postgresql"
    op.execute(
        f"""
        CREATE VIEW prediction_logits AS
        SELECT p.id AS prediction_id, p.video_id, v.name, m.name AS model, c.value AS class, {"l.value::double precision" if on_server else "l.value"} AS logit
        FROM predictions p
        JOIN videos v ON v.id = p.video_id
        JOIN models m ON m.id = p.model_id
        {ELEMENTS if on_server else EACH}
        """
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}

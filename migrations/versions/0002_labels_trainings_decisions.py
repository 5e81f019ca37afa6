"""The tables of labels, groups, trainings and decisions.

A prediction has a kind, and a reason if it is unsure.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# The elements of two lists side by side. SQLite keeps this text, so it stays as it is.
EACH = """JOIN json_each(m.classes) c
        JOIN json_each(p.logits) l ON l.key = c.key"""
ELEMENTS = """JOIN LATERAL json_array_elements_text(m.classes) WITH ORDINALITY c(value, key) ON true
        JOIN LATERAL json_array_elements_text(p.logits) WITH ORDINALITY l(value, key) ON l.key = c.key"""


def upgrade() -> None:
    op.add_column("videos", sa.Column("fingerprint", sa.LargeBinary))
    op.add_column("videos", sa.Column("sampled", sa.Boolean, nullable=False, server_default="0"))
    op.drop_index("ix_videos_unfinished_path", "videos")
    op.create_index("ix_videos_inode", "videos", ["inode"])
    op.create_index("ix_videos_path", "videos", ["path"])
    op.create_index("ix_videos_name", "videos", ["name"])
    known = sa.text("fingerprint IS NOT NULL")
    op.create_index(
        "ix_videos_fingerprint", "videos", ["id"], sqlite_where=known, postgresql_where=known
    )
    op.execute("DROP VIEW prediction_logits")
    # Not Alembic's batch mode: it would copy the table, and the order of its constraints would
    # differ from run to run.
    kinds, doubts = (
        "kind IN ('answer', 'shadow', 'rescored')",
        "doubt IN ('probability', 'unknown')",
    )
    op.execute(
        "ALTER TABLE predictions ADD COLUMN kind TEXT DEFAULT 'answer' NOT NULL "
        f"CONSTRAINT ck_predictions_kind CHECK ({kinds})"
    )
    op.execute(
        f"ALTER TABLE predictions ADD COLUMN doubt TEXT CONSTRAINT ck_predictions_doubt CHECK ({doubts})"
    )
    op.create_index("ix_predictions_created_at", "predictions", ["created_at"])
    on_server = op.get_bind().dialect.name == "postgresql"
    op.execute(
        f"""
        CREATE VIEW prediction_logits AS
        SELECT p.id AS prediction_id, p.video_id, v.name, m.name AS model, p.kind, c.value AS class, {"l.value::double precision" if on_server else "l.value"} AS logit
        FROM predictions p
        JOIN videos v ON v.id = p.video_id
        JOIN models m ON m.id = p.model_id
        {ELEMENTS if on_server else EACH}
        """
    )
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("video_id", sa.Integer, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("class", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("sampled", sa.Boolean, nullable=False, server_default="0"),
        sa.Column("takes_back", sa.Integer),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_labels"),
        sa.ForeignKeyConstraint(["video_id"], ["videos.id"], name="fk_labels_video_id_videos"),
        sa.CheckConstraint(
            "verdict IN ('labelled', 'unsure', 'withdrawn')", name="ck_labels_verdict"
        ),
        sa.CheckConstraint(
            "source IN ('folder', 'moved', 'command', 'accepted', 'csv', 'page')",
            name="ck_labels_source",
        ),
        sa.CheckConstraint("(verdict = 'labelled') = (class IS NOT NULL)", name="ck_labels_class"),
        sa.CheckConstraint(
            "(verdict = 'withdrawn') = (takes_back IS NOT NULL)", name="ck_labels_takes_back"
        ),
        sa.ForeignKeyConstraint(["takes_back"], ["labels.id"], name="fk_labels_takes_back_labels"),
        sa.UniqueConstraint("takes_back", name="uq_labels_takes_back"),
    )
    op.create_index("ix_labels_video_id", "labels", ["video_id"])
    op.create_table(
        "groups",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("dealt_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_groups"),
        sa.CheckConstraint("side IN ('training', 'holdout')", name="ck_groups_side"),
    )
    op.create_table(
        "trainings",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("last_label", sa.Integer, nullable=False),
        sa.Column("progress", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("asked_at", sa.DateTime, nullable=False),
        sa.Column("started_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.PrimaryKeyConstraint("id", name="pk_trainings"),
        sa.UniqueConstraint("name", name="uq_trainings_name"),
        sa.CheckConstraint(
            "state IN ('asked', 'training', 'trained', 'failed', 'stopped')",
            name="ck_trainings_state",
        ),
    )
    op.create_table(
        "decisions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("challenger", sa.Text, nullable=False),
        sa.Column("champion", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("setting", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.CheckConstraint(
            "verdict IN ('promoted', 'refused', 'undecided', 'set', 'chosen', 'rolled back')",
            name="ck_decisions_verdict",
        ),
    )

"""What befell each video: where its file was, each trouble, and why it has no windows.

Triggers write it, so that no way of changing a row is forgotten. Whoever makes the table `videos`
anew has to make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
TRIGGERS = (
    # Not the first move of a file that keeps its name: `source` and `name` say where it came from.
    (
        "moved",
        "path",
        "old.path <> new.path AND (old.finished_at IS NOT NULL OR old.name <> new.name)",
        "NULL, old.path",
    ),
    (
        "trouble",
        "trouble, attempts",
        "new.trouble IS NOT NULL AND (new.trouble IS NOT old.trouble OR new.attempts > old.attempts)",
        "new.trouble, NULL",
    ),
    ("held", "held", "new.held IS NOT NULL AND new.held IS NOT old.held", "new.held, NULL"),
    ("failed", "state", "new.state = 'failed' AND old.state <> 'failed'", "new.error, old.path"),
    ("again", "state", "old.state = 'failed' AND new.state = 'queued'", "NULL, new.path"),
)


def upgrade() -> None:
    op.add_column("predictions", sa.Column("uncut", sa.Text))
    op.create_table(
        "happenings",
        sa.Column("id", sa.Integer),
        sa.Column("video_id", sa.Integer, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("text", sa.Text),
        sa.Column("path", sa.LargeBinary),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.CheckConstraint(
            "what IN ('moved', 'trouble', 'held', 'failed', 'again')",
            name=op.f("ck_happenings_what"),
        ),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.id"],
            name=op.f("fk_happenings_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_happenings")),
    )
    op.create_index("ix_happenings_video_id", "happenings", ["video_id"])
    for what, columns, condition, values in TRIGGERS:
        op.execute(
            f"CREATE TRIGGER videos_{what} AFTER UPDATE OF {columns} ON videos WHEN {condition} "
            "BEGIN INSERT INTO happenings (video_id, what, text, path, at) "
            f"VALUES (new.id, '{what}', {values}, {NOW}); END"
        )

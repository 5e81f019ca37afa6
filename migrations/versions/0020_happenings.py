"""What befell each video: where its file was, each trouble, and why it has no windows.

Triggers write it, so that no way of changing a row is forgotten. Whoever makes the table `videos`
anew has to make them again.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"

NOW = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
SERVER_NOW = "clock_timestamp() AT TIME ZONE 'UTC'"
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
    if op.get_bind().dialect.name == "postgresql":
        _widen()
        _notice_by_functions()
        return
    for what, columns, condition, values in TRIGGERS:
        op.execute(
            f"CREATE TRIGGER videos_{what} AFTER UPDATE OF {columns} ON videos WHEN {condition} "
            "BEGIN INSERT INTO happenings (video_id, what, text, path, at) "
            f"VALUES (new.id, '{what}', {values}, {NOW}); END"
        )


def _widen() -> None:
    """On a server, texts are compared by their bytes, and there may be billions of rows.

    Before there are triggers: PostgreSQL changes no column that a trigger names. Later migrations
    make such columns as `daemon/database/columns.py` says.
    """
    view = op.get_bind().scalar(sa.text("SELECT pg_get_viewdef('prediction_logits'::regclass)"))
    op.execute("DROP VIEW prediction_logits")
    inspector = sa.inspect(op.get_bind())
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            name, kind = f'"{column["name"]}"', column["type"]
            if isinstance(kind, sa.Text) and table != "alembic_version":
                op.execute(f'ALTER TABLE {table} ALTER COLUMN {name} TYPE text COLLATE "C"')
            if isinstance(kind, sa.Integer) and (table, column["name"]) in ids(inspector, table):
                op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} TYPE bigint")
                if column["name"] == "id":
                    op.execute(f"ALTER SEQUENCE {table}_id_seq AS bigint")
    op.execute(f"CREATE VIEW prediction_logits AS {view}")


def ids(inspector: sa.Inspector, table: str) -> set[tuple[str, str]]:
    """The columns of a table that hold the id of a row."""
    refers = [key["constrained_columns"][0] for key in inspector.get_foreign_keys(table)]
    plain = ("id", "subject", "last_label", "last_part_label")  # the last ones have no foreign key
    return {(table, name) for name in (*refers, *plain)}


def _notice_by_functions() -> None:
    for what, columns, condition, values in TRIGGERS:
        differs = condition.replace("IS NOT old.", "IS DISTINCT FROM old.")
        op.execute(
            f"CREATE FUNCTION note_{what}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO happenings (video_id, what, text, path, at) "
            f"VALUES (new.id, '{what}', {values}, {SERVER_NOW}); RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER videos_{what} AFTER UPDATE OF {columns} ON videos FOR EACH ROW "
            f"WHEN ({differs}) EXECUTE FUNCTION note_{what}()"
        )

"""The page searches clips: what it searches by is found by indexes, and searches are kept."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    on_server = op.get_bind().dialect.name == "postgresql"
    text = sa.Text(collation="C") if on_server else sa.Text
    op.create_table(
        "searches",
        sa.Column("id", sa.BigInteger if on_server else sa.Integer, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("query", text, nullable=False),
        sa.Column("who", text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_searches")),
        sa.UniqueConstraint("name", name=op.f("uq_searches_name")),
    )
    op.create_index(
        "ix_videos_source_id", "videos", ["source", "id"], **_where("source IS NOT NULL")
    )
    op.create_index(
        "ix_videos_group_id", "videos", ["group", "id"], **_where('"group" IS NOT NULL')
    )
    op.create_index("ix_videos_copies", "videos", ["id"], **_where("duplicate_of IS NOT NULL"))
    known = _where("recorded_at IS NOT NULL")
    op.create_index("ix_videos_recorded_at", "videos", ["recorded_at"], **known)
    op.create_index(
        "ix_videos_unrecorded", "videos", ["arrived_at"], **_where("recorded_at IS NULL")
    )
    op.create_index("ix_predictions_class_video", "predictions", ["class", "video_id"])
    op.create_index("ix_labels_class", "labels", ["class", "video_id"])
    op.create_index("ix_labels_who_id", "labels", ["who", "id"])


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}

"""The table of what befell each video."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Table, Text

from daemon.database.columns import HomePath, Id, Utc, metadata, one_of
from daemon.database.values import HAPPENINGS

# Triggers of the table `videos` write it. A repeated trouble has one row.
happenings = Table(
    "happenings",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("what", Text, nullable=False),
    Column("text", Text),
    # Absolute, the exact bytes.
    Column("path", HomePath),
    Column("at", Utc, nullable=False),
    CheckConstraint(one_of("what", HAPPENINGS), name="what"),
)

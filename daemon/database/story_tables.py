"""The table of what befell each video."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, LargeBinary, Table, Text

from daemon.database.columns import Utc, metadata, one_of
from daemon.database.values import HAPPENINGS

# Triggers of the table `videos` write it. A repeated trouble has one row.
happenings = Table(
    "happenings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column(
        "video_id", Integer, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("what", Text, nullable=False),
    Column("text", Text),
    # Absolute, the exact bytes.
    Column("path", LargeBinary),
    Column("at", Utc, nullable=False),
    CheckConstraint(one_of("what", HAPPENINGS), name="what"),
)

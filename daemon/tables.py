"""The schema, once: what the store writes, `status` reads and Alembic compares against."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)


class Utc(TypeDecorator[datetime]):
    """Aware datetimes, kept as UTC: SQLite has no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC without a zone."""
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From UTC without a zone."""
        return value.replace(tzinfo=UTC) if value else None


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# A video's way: queued > claimed > classified (answered) > filed (moved, too).
# waiting: it changed after it was queued, and has to be whole again. failed: no answer, and `error` says why.
STATES = ("waiting", "queued", "claimed", "classified", "filed", "failed")

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of the weights
    Column("classes", JSON, nullable=False),  # names, in the order of the logits
    Column("measured", JSON, nullable=False),  # accuracy and how it was measured, from the manifest
    Column("used_at", Utc, nullable=False),  # when a daemon last began to use it: the latest is the one in use
)

videos = Table(
    "videos",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),  # absolute, the exact bytes
    Column("inode", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("group", Text),
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("sha256", Text, index=True),
    Column("duplicate_of", Integer, ForeignKey("videos.id")),
    Column("destination", LargeBinary),  # where it is to be moved; NULL once it is there
    Column("attempts", Integer, nullable=False, server_default="0"),  # crashes and time-outs of its decoder
    Column("trouble", Text),  # why it waits for another try; NULL when nothing is in the way
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("retry_at", Utc),
    Column("claimed_by", Text),
    Column("lease_until", Utc),
    Column("arrived_at", Utc, nullable=False),
    Column("finished_at", Utc, index=True),
    CheckConstraint("state IN ({})".format(", ".join(f"'{state}'" for state in STATES)), name="state"),
    Index("ix_videos_state_id", "state", "id"),
)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


# One row an arrival: found again by event, scan and rescan, an unfinished file is one and the same.
_identity = (videos.c.inode, videos.c.size, videos.c.mtime_ns)
Index("uq_videos_unfinished", *_identity, unique=True, **_where("finished_at IS NULL"))
Index("ix_videos_unfinished_path", videos.c.path, **_where("finished_at IS NULL"))
# The few rows that are asked for often, among millions.
for _name in ("destination", "error", "trouble", "duplicate_of"):
    Index(f"ix_videos_{_name}", videos.c.id, **_where(f"{_name} IS NOT NULL"))

predictions = Table(
    "predictions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("video_id", Integer, ForeignKey("videos.id"), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("class", Text, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("logits", JSON, nullable=False),  # one number a class, in the order of the model's classes
    Column("frames_asked", Integer, nullable=False),
    Column("frames_read", Integer, nullable=False),
    Column("decoder", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("video_id", "model_id"),
)

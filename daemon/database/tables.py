"""The schema, once: what the store writes, `status` reads and Alembic compares against."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    cast,
    func,
    literal,
    not_,
    select,
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


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return "{} IN ({})".format(column, ", ".join(f"'{value}'" for value in values))


# A video's way: queued > claimed > classified (answered) > filed (moved, too).
# waiting: it changed after it was queued, and has to be whole again. failed: no answer, and `error` says why.
STATES = ("waiting", "queued", "claimed", "classified", "filed", "failed")

# answer: made when the clip came, it decides where it goes. shadow: by a challenger, on the same frames. rescored: by a
# later model. Only an answer is shown as such.
KINDS = ("answer", "shadow", "rescored")
# probability: below its class's threshold. unknown: like clips of none of the classes.
DOUBTS = ("probability", "unknown")
# labelled: it is of this class. unsure: a person cannot tell. withdrawn: an earlier label is taken back.
VERDICTS = ("labelled", "unsure", "withdrawn")
# folder: put into a class folder, never seen before. moved: put there after it was answered.
SOURCES = ("folder", "moved", "command", "accepted", "csv", "page")
SIDES = ("training", "holdout")
# stopped: with the daemon, which says nothing of it.
TRAINING_STATES = ("asked", "training", "trained", "failed", "stopped")
# The first three: how a comparison ended. set: in vidwatch.toml. chosen, rolled back: by command. A model answers from
# its row on, where the verdict is none of "refused" and "undecided".
DECISIONS = ("promoted", "refused", "undecided", "set", "chosen", "rolled back")

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # SHA-256 of the weights
    Column("classes", JSON, nullable=False),  # names, in the order of the logits
    Column("measured", JSON, nullable=False),  # accuracy and how it was measured, from the manifest
    Column(
        "used_at", Utc, nullable=False
    ),  # when a daemon last began to use it; `decisions` say which one answers
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
    Column(
        "group", Text
    ),  # its recording, camera or scene; by its features, where neither name nor folder tells
    Column("state", Text, nullable=False),
    Column("error", Text),
    Column("sha256", Text, index=True),
    Column("fingerprint", LargeBinary),  # of its features, where these have to tell its group
    Column(
        "sampled", Boolean, nullable=False, server_default="0"
    ),  # one of the random share that people review
    Column("duplicate_of", Integer, ForeignKey("videos.id")),
    Column("destination", LargeBinary),  # where it is to be moved; NULL once it is there
    Column(
        "attempts", Integer, nullable=False, server_default="0"
    ),  # crashes and time-outs of its decoder
    Column("trouble", Text),  # why it waits for another try; NULL when nothing is in the way
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("retry_at", Utc),
    Column("claimed_by", Text),
    Column("lease_until", Utc),
    Column("arrived_at", Utc, nullable=False),
    Column("finished_at", Utc, index=True),
    CheckConstraint(_one_of("state", STATES), name="state"),
    Index("ix_videos_state_id", "state", "id"),
)


def _where(condition: str) -> dict[str, Any]:
    # The migrations say the same for PostgreSQL; named here, its dialect would be imported at each start (0.1 s).
    return {"sqlite_where": text(condition)}


# One row an arrival: found again by event, scan and rescan, an unfinished file is one and the same.
_identity = (videos.c.inode, videos.c.size, videos.c.mtime_ns)
Index("uq_videos_unfinished", *_identity, unique=True, **_where("finished_at IS NULL"))
# A file that a person has moved is known by what it is, and one that we have moved by its path.
Index("ix_videos_inode", videos.c.inode)
Index("ix_videos_path", videos.c.path)
Index("ix_videos_name", videos.c.name)
# The few rows that are asked for often, among millions.
for _name in ("destination", "error", "trouble", "fingerprint"):
    Index(f"ix_videos_{_name}", videos.c.id, **_where(f"{_name} IS NOT NULL"))
# Of the column itself: looked up for each row that is removed.
Index("ix_videos_duplicate_of", videos.c.duplicate_of, **_where("duplicate_of IS NOT NULL"))

predictions = Table(
    "predictions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("video_id", Integer, ForeignKey("videos.id"), nullable=False),
    Column("model_id", Integer, ForeignKey("models.id"), nullable=False),
    Column("class", Text, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column(
        "logits", JSON, nullable=False
    ),  # one number a class, in the order of the model's classes
    Column("frames_asked", Integer, nullable=False),
    Column("frames_read", Integer, nullable=False),
    Column("decoder", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="answer"),
    Column(
        "read_share", Float
    ),  # the share of the clip that was there to be read; NULL in old rows
    Column("doubt", Text),  # why it counts as unsure; NULL where it does not
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("video_id", "model_id"),
    CheckConstraint(_one_of("kind", KINDS), name="kind"),
    CheckConstraint(_one_of("doubt", DOUBTS), name="doubt"),
    Index("ix_predictions_created_at", "created_at"),
)


def that_counts(prediction: FromClause = predictions) -> ColumnElement[bool]:
    """Whether a prediction is the one that decided where its video was filed, and is shown for it."""
    return prediction.c.kind == "answer"


labels = Table(
    "labels",
    metadata,
    Column(
        "id", Integer, primary_key=True
    ),  # the newest of a video that stands is the one that counts
    Column("video_id", Integer, ForeignKey("videos.id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    Column("class", Text),  # NULL but for "labelled"
    Column("source", Text, nullable=False),
    Column("who", Text, nullable=False),  # the user who gave it, or owns the file
    Column(
        "sampled", Boolean, nullable=False, server_default="0"
    ),  # given where the random share was reviewed
    Column(
        "takes_back", Integer, ForeignKey("labels.id"), unique=True
    ),  # the label that a "withdrawn" one undoes
    Column("created_at", Utc, nullable=False),
    CheckConstraint(_one_of("verdict", VERDICTS), name="verdict"),
    CheckConstraint(_one_of("source", SOURCES), name="source"),
    CheckConstraint("(verdict = 'labelled') = (class IS NOT NULL)", name="class"),
    CheckConstraint("(verdict = 'withdrawn') = (takes_back IS NOT NULL)", name="takes_back"),
)


def stands(label: FromClause = labels) -> ColumnElement[bool]:
    """Whether a label is one that nobody has taken back."""
    undoing = labels.alias()
    taken_back = select(undoing.c.id).where(undoing.c.takes_back == label.c.id).exists()
    return and_(label.c.verdict != "withdrawn", not_(taken_back))


def own_group(video_id: int) -> str:
    """The group of a video that shares it with no other, as far as is known."""
    return f"#{video_id}"


def group_of_video() -> ColumnElement[str]:
    """The group of a row of `videos`, which is its own one if it has no other."""
    own = literal("#") + cast(videos.c.id, Text)
    return func.coalesce(func.nullif(videos.c.group, ""), own)


def is_found_by_likeness(group: str) -> bool:
    """Whether a group was found by comparing clips: it has the name of its first video's own group."""
    return group.startswith("#")


def lies_below(path: ColumnElement[bytes], folder: bytes) -> ColumnElement[bool]:
    """Whether a path lies below a folder. An index of the paths can answer that."""
    return and_(path > folder + b"/", path < folder + b"0")  # "0" follows "/"


# Whether the clips of a group train models or judge them, for good.
groups = Table(
    "groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("side", Text, nullable=False),
    Column("dealt_at", Utc, nullable=False),
    CheckConstraint(_one_of("side", SIDES), name="side"),
)

trainings = Table(
    "trainings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),  # of the model that comes of it
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("last_label", Integer, nullable=False),  # the newest label that it knew
    Column("progress", Text),  # how far it is, for people
    Column("error", Text),  # why it failed, and where its log is
    Column("asked_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    CheckConstraint(_one_of("state", TRAINING_STATES), name="state"),
)

# Each comparison and each change of the model that answers, for good.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("challenger", Text, nullable=False),
    Column("champion", Text),  # the model that answered before; NULL for the first
    Column("reason", Text, nullable=False),
    Column("figures", JSON, nullable=False),
    Column("setting", Text),  # what `model` was set to, where a new one takes over
    Column("created_at", Utc, nullable=False),
    CheckConstraint(_one_of("verdict", DECISIONS), name="verdict"),
)

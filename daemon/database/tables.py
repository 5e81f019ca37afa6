"""The tables of the database. Alembic compares the migrations with them."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from daemon.database.columns import FileSystem, HomePath, Id, Utc, one_of
from daemon.database.columns import metadata as metadata
from daemon.database.daemon_tables import daemons as daemons
from daemon.database.event_tables import outbox as outbox
from daemon.database.event_tables import receivers as receivers
from daemon.database.label_tables import class_descriptions as class_descriptions
from daemon.database.label_tables import class_names as class_names
from daemon.database.label_tables import labels as labels
from daemon.database.label_tables import part_labels as part_labels
from daemon.database.label_tables import renamed_folders as renamed_folders
from daemon.database.page_tables import searches as searches
from daemon.database.story_tables import happenings as happenings
from daemon.database.values import (
    DECISIONS,
    DOUBTS,
    KINDS,
    ON_FILED,
    SIDES,
    TRAINING_STATES,
)
from daemon.database.values import PREDICTED as PREDICTED
from daemon.database.values import STATES as STATES

models = Table(
    "models",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    # The SHA-256 of the weights.
    Column("digest", Text, nullable=False, unique=True),
    # Their names, in the order of the logits.
    Column("classes", JSON, nullable=False),
    # The accuracy, and how it was measured, from the model's manifest.
    Column("measured", JSON, nullable=False),
    # When a daemon last began to use it. `decisions` has which model is the champion.
    Column("used_at", Utc, nullable=False),
)

# One row: where the home lies, which all paths of videos are below.
home = Table(
    "home",
    metadata,
    # Absolute, the exact bytes, without links.
    Column("root", HomePath, nullable=False),
    # On a server, what the mark in the home's folder says; see `daemon/home/mark.py`.
    Column("mark", Text),
)

videos = Table(
    "videos",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    # Absolute, the exact bytes.
    Column("path", HomePath, nullable=False),
    # The number of its file system. It may have changed since, at a reboot. NULL if not known.
    Column("device", FileSystem),
    Column("inode", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    # The recording, camera or scene. If neither the name nor the folder names it, it is found by
    # comparing the features of clips.
    Column("group", Text),
    Column("state", Text, nullable=False),
    # Why there is no prediction, or why the file was not filed.
    Column("error", Text),
    # Of the file's content.
    Column("sha256", Text),
    # Made from the features, if they are needed to find the group.
    Column("fingerprint", LargeBinary),
    # Whether it is one of the random share that people review.
    Column("sampled", Boolean, nullable=False, server_default="0"),
    # The first video with the same content. If its file was gone when this content came again, the
    # new video took its place: then it is a later one, and has the labels.
    Column("duplicate_of", Id, ForeignKey("videos.id")),
    # Where the file is to be moved. NULL when it is there.
    Column("destination", HomePath),
    # How often its decoder crashed or ran out of time.
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Why it waits for another try. NULL if nothing is wrong.
    Column("trouble", Text),
    # How often trouble that may pass by itself came in a row.
    Column("tries", Integer, nullable=False, server_default="0"),
    # When to try again.
    Column("retry_at", Utc),
    # The daemon that works on it, and until when that counts.
    Column("claimed_by", Text),
    Column("lease_until", Utc),
    Column("arrived_at", Utc, nullable=False),
    Column("finished_at", Utc, index=True),
    # Where the file is being moved now, noted before it moves. NULL if it is not. Until the move is
    # noted, the file lies here or at `path`. `destination` is never NULL meanwhile, and is another
    # place if a person labels the video meanwhile: then the file is moved on.
    Column("moving_to", HomePath),
    # When its file was removed from the inbox, since it holds what the first video's file holds
    # (`duplicates = drop`). Noted before it is removed. Then `path` is where it was.
    Column("dropped_at", Utc),
    # When vidwatch last saw its file change, before it was read. NULL in rows of an old vidwatch.
    Column("changed_at", Utc),
    # Why it is read again at `retry_at`, although nothing is wrong. NULL if it is not.
    Column("held", Text),
    # The folder that it came from: its path below the inbox. NULL if it lay in the inbox itself,
    # came by a class folder, or came to an older vidwatch.
    Column("source", Text),
    # When it was recorded, and what says so. NULL if nothing does.
    Column("recorded_at", Utc),
    # "container": the file itself says it. "name": its name, or that of its folder. "file": the
    # date of the file, which may be that of a copy.
    Column("recorded_by", Text),
    # The make and the model of the camera. NULL if the container does not name them.
    Column("camera", Text),
    # The share of the picture that changes between sampled frames, from 0 to 1: near 0 if nothing
    # moves. NULL if it was not measured.
    Column("movement", Float),
    # The folder of the archive or of the source that it came from. NULL if that is the inbox.
    Column("origin", HomePath),
    # What becomes of its file: it is copied, linked or left where it is. NULL if it is moved.
    Column("on_filed", Text),
    # Where it was copied or linked from: that file is still there. NULL if it was not.
    Column("left_at", HomePath),
    # The size and the date of that file, whatever becomes of the copy.
    Column("left_size", BigInteger),
    Column("left_mtime_ns", BigInteger),
    # The model that its source has for itself. NULL: the champion predicts it.
    Column("own_model", Text),
    # Whether it waits as long as others do, as the files of an archive.
    Column("background", Boolean, nullable=False, server_default="0"),
    # When it was decided that its file goes into the trash, and when it was deleted there.
    Column("trashed_at", Utc),
    Column("removed_at", Utc),
    # When a person said of its failure that they have seen it: it is listed and counted no more.
    Column("forgotten_at", Utc),
    CheckConstraint(one_of("state", STATES), name="state"),
    CheckConstraint(one_of("on_filed", ON_FILED), name="on_filed"),
    Index("ix_videos_state_id", "state", "id"),
)


def _where(condition: str) -> dict[str, Any]:
    # The migrations have the same condition for PostgreSQL. If it was here, too, SQLAlchemy would
    # import that dialect at each start (0.1 s).
    return {"sqlite_where": text(condition)}


# One row for each file that arrives: an unfinished file that is found again, by an event or by a
# search, has its row already.
_identity = (videos.c.inode, videos.c.size, videos.c.mtime_ns, videos.c.device)
Index("uq_videos_unfinished", *_identity, unique=True, **_where("finished_at IS NULL"))
# A file that a person has moved is found by its inode, and one that we have moved by its path.
Index("ix_videos_inode", videos.c.inode)
Index("ix_videos_path", videos.c.path)
Index("ix_videos_name", videos.c.name)
# A content has one first video, and may have many duplicates, which are not read to find it.
Index("ix_videos_sha256", videos.c.sha256, videos.c.duplicate_of)
# Whether a video of the same size is known: only then a file is hashed before it is decoded.
Index("ix_videos_size", videos.c.size, **_where("sha256 IS NOT NULL"))
# What is next, with all that is asked of it: of many that wait, no row is read.
_asked = ("background", "own_model", "id", "retry_at", "origin", "state")
Index("ix_videos_queue", *(videos.c[name] for name in _asked), **_where("state = 'queued'"))
Index("ix_videos_left_at", videos.c.left_at, **_where("left_at IS NOT NULL"))
# Each for a few rows among millions, which are looked up often.
for _name in ("destination", "moving_to", "error", "trouble", "held", "fingerprint"):
    Index(f"ix_videos_{_name}", videos.c.id, **_where(f"{_name} IS NOT NULL"))
Index("ix_videos_sampled", videos.c.sha256, videos.c.id, **_where("sampled = 1"))
# What the page searches by.
Index("ix_videos_source_id", videos.c.source, videos.c.id, **_where("source IS NOT NULL"))
# Each video is in one of these two.
Index("ix_videos_recorded_at", videos.c.recorded_at, **_where("recorded_at IS NOT NULL"))
Index("ix_videos_unrecorded", videos.c.arrived_at, **_where("recorded_at IS NULL"))
Index("ix_videos_group_id", videos.c.group, videos.c.id, **_where('"group" IS NOT NULL'))
Index("ix_videos_copies", videos.c.id, **_where("duplicate_of IS NOT NULL"))
Index("ix_videos_trash", videos.c.id, **_where("trashed_at IS NOT NULL AND removed_at IS NULL"))
# What is forgotten is counted without a look at all that failed.
_seen = (videos.c.state, videos.c.id)
Index("ix_videos_forgotten_at", *_seen, **_where("forgotten_at IS NOT NULL"))
# An index of the column's values: they are looked up for each row that is removed.
Index("ix_videos_duplicate_of", videos.c.duplicate_of, **_where("duplicate_of IS NOT NULL"))

predictions = Table(
    "predictions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False),
    Column("model_id", Id, ForeignKey("models.id"), nullable=False),
    # The likeliest class, its place among the model's classes, and its probability.
    Column("class", Text, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    # One number for each class, in the order of the model's classes.
    Column("logits", JSON, nullable=False),
    # How many frames the model takes, and how many different ones were decoded.
    Column("frames_asked", Integer, nullable=False),
    Column("frames_read", Integer, nullable=False),
    Column("decoder", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="answer"),
    # The share of the clip that was there to be read. NULL in rows of an old vidwatch.
    Column("read_share", Float),
    # Why it is unsure. NULL if it is not.
    Column("doubt", Text),
    Column("created_at", Utc, nullable=False),
    # The share of the clips known to the model that look stranger. NULL if the model cannot say.
    Column("familiarity", Float),
    # Of several films in the file, the stream that it is of, counted from 0. NULL if there is one.
    Column("stream", Integer),
    # What was done to the colours, beside converting them. NULL if nothing was.
    Column("colours", Text),
    # Why it could not be cut into windows. NULL if it is short, was cut, or was not to be cut.
    Column("uncut", Text),
    # Of those that share a database on a server, the one that recorded it. NULL in a file.
    Column("machine", Text),
    UniqueConstraint("video_id", "model_id"),
    CheckConstraint(one_of("kind", KINDS), name="kind"),
    CheckConstraint(one_of("doubt", DOUBTS), name="doubt"),
    Index("ix_predictions_created_at", "created_at"),
    # The least probable ones first, of all classes and of one: for the clips to be reviewed next.
    # Not `kind` first: nearly all rows have the same, and SQLite would read them by it.
    Index("ix_predictions_doubt", "doubt", "probability", "video_id", "kind"),
    Index("ix_predictions_class", "class", "doubt", "probability", "video_id", "kind"),
    Index("ix_predictions_class_video", "class", "video_id"),
)

# The windows of long videos, each with the prediction of a model. A video whose windows are all
# here has its prediction in `predictions`, too: it is drawn from them.
windows = Table(
    "windows",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id", ondelete="CASCADE"), nullable=False),
    Column("model_id", Id, ForeignKey("models.id"), nullable=False),
    # Its place among the windows of the video, from 0. One without a frame has no row.
    Column("number", Integer, nullable=False),
    # In seconds from the first picture of the video.
    Column("start_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    # As in `predictions`.
    Column("class", Text, nullable=False),
    Column("class_index", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("logits", JSON, nullable=False),
    Column("frames_read", Integer, nullable=False),
    Column("doubt", Text),
    Column("familiarity", Float),
    # As in `videos`; the fingerprint only of the model that is in use.
    Column("fingerprint", LargeBinary),
    Column("movement", Float),
    Column("created_at", Utc, nullable=False),
    # Of the frames that are stored for it, and for the windows before it that have no row.
    Column("read_share", Float, nullable=False, server_default="1"),
    UniqueConstraint("video_id", "model_id", "number"),
    CheckConstraint(one_of("doubt", DOUBTS), name="doubt"),
    # To find videos by what is in them.
    Index("ix_windows_class", "class", "video_id"),
)


# Whether models learn from the clips of a group, or these clips judge models. Each clip has a row
# under its own group, too. A row changes from holdout to training if clips of both come together.
groups = Table(
    "groups",
    metadata,
    Column("name", Text, primary_key=True),
    Column("side", Text, nullable=False),
    Column("dealt_at", Utc, nullable=False),
    CheckConstraint(one_of("side", SIDES), name="side"),
)

trainings = Table(
    "trainings",
    metadata,
    Column("id", Id, primary_key=True),
    # Of the model that is trained.
    Column("name", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    # Why it was asked for.
    Column("why", Text, nullable=False),
    # The newest label that it could use.
    Column("last_label", Id, nullable=False),
    # The newest label of a part that it could use.
    Column("last_part_label", Id, nullable=False, server_default="0"),
    # How far it is, for people.
    Column("progress", Text),
    # Why it failed, and where its log is.
    Column("error", Text),
    Column("asked_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    CheckConstraint(one_of("state", TRAINING_STATES), name="state"),
)

# Each comparison of models, and each change of the champion. A row never changes.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("challenger", Text, nullable=False),
    # The champion before; NULL for the first one.
    Column("champion", Text),
    Column("reason", Text, nullable=False),
    Column("figures", JSON, nullable=False),
    # What the setting `model` was when the challenger took over.
    Column("setting", Text),
    Column("created_at", Utc, nullable=False),
    CheckConstraint(one_of("verdict", DECISIONS), name="verdict"),
)

"""The tables of what people say: labels, and the names of classes."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Table,
    Text,
    UniqueConstraint,
)

from daemon.database.columns import Id, Utc, metadata, one_of
from daemon.database.values import SOURCES, VERDICTS

# The newest label of a video counts, unless it is taken back. Older ones are kept.
labels = Table(
    "labels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False, index=True),
    Column("verdict", Text, nullable=False),
    # NULL unless the verdict is "labelled".
    Column("class", Text),
    Column("source", Text, nullable=False),
    # The user who gave it, or who owns the file.
    Column("who", Text, nullable=False),
    # Whether it was given while the random share was reviewed.
    Column("sampled", Boolean, nullable=False, server_default="0"),
    # The label that a "withdrawn" one takes back.
    Column("takes_back", Id, ForeignKey("labels.id"), unique=True),
    Column("created_at", Utc, nullable=False),
    # What the person wrote beside it. NULL if nothing.
    Column("note", Text),
    CheckConstraint(one_of("verdict", VERDICTS), name="verdict"),
    CheckConstraint(one_of("source", SOURCES), name="source"),
    CheckConstraint("(verdict = 'labelled') = (class IS NOT NULL)", name="class"),
    CheckConstraint("(verdict = 'withdrawn') = (takes_back IS NOT NULL)", name="takes_back"),
    # What the page searches by.
    Index("ix_labels_class", "class", "video_id"),
    # By id, as undo looks for the last ones of a person.
    Index("ix_labels_who_id", "who", "id"),
)


# What people say of parts of long videos. A label of a part is none of its video: it moves no file,
# and counts in no figure of accuracy. It counts unless it is taken back, or a newer one covers all
# of its part.
part_labels = Table(
    "part_labels",
    metadata,
    Column("id", Id, primary_key=True),
    Column("video_id", Id, ForeignKey("videos.id"), nullable=False, index=True),
    # In seconds from the first picture of the video.
    Column("start_s", Float, nullable=False),
    Column("end_s", Float, nullable=False),
    # NULL if it takes another one back.
    Column("class", Text),
    # As in `labels`.
    Column("source", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("takes_back", Id, ForeignKey("part_labels.id"), unique=True),
    Column("created_at", Utc, nullable=False),
    CheckConstraint(one_of("source", SOURCES), name="source"),
    CheckConstraint("start_s < end_s", name="part"),
    CheckConstraint("(class IS NULL) = (takes_back IS NOT NULL)", name="takes_back"),
)

# The classes that a person has renamed or merged. Models that know the old name keep it: what they
# predict counts as the new class. Labels have the new name.
class_names = Table(
    "class_names",
    metadata,
    Column("old", Text, primary_key=True),
    # NULL: the class was retired.
    Column("new", Text),
    Column("who", Text, nullable=False),
    Column("changed_at", Utc, nullable=False),
)

# What a class is, as a person wrote it. It follows a class that is renamed or merged.
class_descriptions = Table(
    "class_descriptions",
    metadata,
    Column("class", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
)

# Class folders that a person has renamed, and has not said yet whether that renames the class.
renamed_folders = Table(
    "renamed_folders",
    metadata,
    Column("id", Id, primary_key=True),
    # `classified` or `labelled`.
    Column("kind", Text, nullable=False),
    Column("old", Text, nullable=False),
    Column("new", Text, nullable=False),
    Column("seen_at", Utc, nullable=False),
    UniqueConstraint("kind", "old", "new"),
)

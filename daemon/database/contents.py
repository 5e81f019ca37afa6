"""Which videos have the same content, and which of them is the first one.

The first video of a content has its prediction and its labels. The others are its duplicates, as
long as its file is there. If it is gone, the next video of that content takes its place.
"""

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, delete, or_, select, update

from daemon.database.expressions import content_of_video, own_group, stands, that_counts
from daemon.database.tables import PREDICTED, labels, outbox, part_labels, predictions, videos
from daemon.database.windows import forget_windows
from daemon.home.folders import Folders
from daemon.home.identity import Identity, base_name, identify
from learner import files
from learner.recording import Recorded, recorded

COMPARED = 100  # videos of one content that are looked for

# Built once: they run for each batch, and building one takes longer than running it.
_SAME_SIZE = (
    select(videos.c.id)
    .where(videos.c.size == bindparam("size"), videos.c.sha256.is_not(None))
    .limit(1)
)
_FIRSTS = (
    select(videos, predictions.c.read_share)
    .join(predictions, predictions.c.video_id == videos.c.id)
    .where(videos.c.sha256.in_(bindparam("contents", expanding=True)))
    .where(videos.c.duplicate_of.is_(None), that_counts())
    .order_by(videos.c.id)
)


@dataclass(frozen=True)
class First:
    """The first video of a content."""

    id: int
    sha256: str
    path: bytes
    size: int
    mtime_ns: int
    others: tuple[bytes, ...]
    """Where its file may lie besides: where it is being moved, or belongs."""
    was_whole: bool
    """Whether all of the clip was there when it was predicted."""
    recording: Recorded
    """When it was recorded, and by which camera."""

    def recording_of_copy(self, path: bytes, mtime_ns: int) -> Recorded:
        """When a copy was recorded, and by which camera.

        Its container says what that of the first video says. Its name and its date may differ.

        Args:
            path: The path of the copy.
            mtime_ns: The date of its file.
        """
        if self.recording.by == "container":
            return self.recording
        return recorded(None, self.recording.camera, path, mtime_ns)

    def is_there(
        self, folders: Folders, besides: Collection[bytes], progress: Callable[[], None]
    ) -> bool:
        """Whether its file is there, with the same content; True if it cannot be found out now.

        A file that rests in the trash is not: it will be deleted.

        Args:
            folders: The home's folders: a disk that they lie on may be away.
            besides: Paths that do not count: other videos' files lie there now.
            progress: Called now and then while the file is read. It is read if its date has
                changed, as after a copy of the whole home.
        """
        places = (self.path, *self.others)
        if all(folders.is_in_trash(path) for path in places):
            return False
        return any(self._lies_at(path, folders, progress) for path in places if path not in besides)

    def _lies_at(self, path: bytes, folders: Folders, progress: Callable[[], None]) -> bool:
        try:
            there = identify(path)
            if there is None:
                return folders.may_be_away(path)
            if there.size != self.size:
                return False
            if there.mtime_ns == self.mtime_ns:
                return True
            return files.sha256_of(path, follow_links=False, progress=progress) == self.sha256
        except FileNotFoundError:
            return False
        except OSError:
            return True


class Contents:
    """What the database says of contents."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def known_sizes(self, sizes: Iterable[int]) -> set[int]:
        """Those of these sizes in bytes that a video whose content is known has."""
        with self._engine.begin() as connection:
            return {
                size
                for size in set(sizes)
                if connection.execute(_SAME_SIZE, {"size": size}).first() is not None
            }

    def firsts(self, contents: Iterable[str]) -> dict[str, First]:
        """The first videos of these contents, by SHA-256. Contents without a prediction have none.

        Whether a first video's file is there is not looked at.
        """
        with self._engine.begin() as connection:
            return firsts_in(connection, contents)

    def moved(self, first: First, path: bytes) -> int | None:
        """The video that a file at `path` is of, if it was moved there, or lies there as before.

        Only of files that stay where they are: all others are moved by us, too. `first` is the
        first video of that content. None if the file is none of these. Of several copies that were
        moved, it is the one with its name, if there is one.
        """
        is_it = or_(videos.c.id == first.id, videos.c.duplicate_of == first.id)
        stayed = select(videos.c.id, videos.c.path).where(
            is_it, videos.c.on_filed == "leave", videos.c.state == "filed"
        )
        with self._engine.begin() as connection:
            rows = connection.execute(stayed.order_by(videos.c.id).limit(COMPARED)).all()
        name = base_name(path)
        rows = sorted(rows, key=lambda row: (row.path != path, base_name(row.path) != name))
        for row in rows:
            with suppress(OSError):  # it cannot be found out now
                if row.path == path or identify(row.path) is None:
                    return int(row.id)
        return None

    def follow(self, known: int, found: int, folders: Folders) -> None:
        """Let a video have the file of a video in hand, whose row goes.

        Args:
            known: The id of the video, whose file is not where it was.
            found: The id of the video in hand, with the same content.
            folders: The home's folders.
        """
        with self._engine.execution_options(writes=True).begin() as connection:
            _follow(connection, known, found, folders)


_PLACE = ("name", "path", "source", "origin", *Identity._fields)


def _follow(connection: Connection, known: int, found: int, folders: Folders) -> None:
    row = connection.execute(select(videos).where(videos.c.id == found)).mappings().one()
    if row["state"] != "claimed":
        return
    content = connection.scalar(select(content_of_video()).where(videos.c.id == known))
    hand_label_over(connection, found, content or known, folders)
    forget_windows(connection, [found])
    # Such as that it failed before it was added again.
    connection.execute(delete(outbox).where(outbox.c.video_id == found))
    connection.execute(delete(videos).where(videos.c.id == found))
    place = {name: row[name] for name in _PLACE}
    connection.execute(update(videos).where(videos.c.id == known).values(**place, error=None))


def firsts_in(connection: Connection, contents: Iterable[str]) -> dict[str, First]:
    """As `Contents.firsts`, in a transaction."""
    found: dict[str, First] = {}
    for row in connection.execute(_FIRSTS, {"contents": list(contents)}).mappings():
        others = (row["moving_to"], row["destination"])
        first = First(
            id=row[videos.c.id],
            sha256=row["sha256"],
            path=row["path"],
            size=row["size"],
            mtime_ns=row["mtime_ns"],
            others=tuple(path for path in others if path is not None),
            was_whole=row["read_share"] == 1,
            recording=Recorded(row["recorded_at"], row["recorded_by"], row["camera"]),
        )
        found.setdefault(first.sha256, first)
    return found


def take_place(connection: Connection, first: int, new: int) -> None:
    """Let a new video take the place of the first one of its content, whose file is gone.

    The former first video becomes a duplicate of the new one, as all its duplicates do. Its
    prediction stays, but does not count for the content any more. Its labels do. Its group is that
    of the new video if nothing states another: else one content could train a model, and judge it.
    """
    group = connection.scalar(select(videos.c.group).where(videos.c.id == first))
    those = or_(videos.c.id == first, videos.c.duplicate_of == first)
    connection.execute(update(videos).where(those).values(duplicate_of=new))
    this = update(videos).where(videos.c.id == new)
    connection.execute(this.where(videos.c.group.is_(None)).values(group=group or own_group(first)))
    of_first = update(labels).where(labels.c.video_id == first)
    # "folder" would say that the new video came with its label, and not into the inbox.
    by_folder = of_first.where(labels.c.source == "folder")
    connection.execute(by_folder.values(source="moved"))
    connection.execute(of_first.values(video_id=new))
    of_parts = update(part_labels).where(part_labels.c.video_id == first)
    connection.execute(of_parts.values(video_id=new))


def hand_label_over(connection: Connection, copy: int, original: int, folders: Folders) -> None:
    """A label of a copy labels the content: it becomes one of the first video that holds it.

    That video's file then rests where the label puts it.
    """
    of_copy = update(labels).where(labels.c.video_id == copy)
    # "moved" would say of a withdrawal that the file was taken out of its class folder.
    given = of_copy.where(labels.c.verdict != "withdrawn")
    connection.execute(given.values(video_id=original, source="moved"))
    connection.execute(of_copy.values(video_id=original))
    of_parts = update(part_labels).where(part_labels.c.video_id == copy)
    connection.execute(of_parts.values(video_id=original))
    row = connection.execute(select(videos).where(videos.c.id == original)).one()
    label = _newest_label(connection, original)
    if row.state not in PREDICTED or row.on_filed == "leave" or label is None:
        return
    at = row.moving_to or row.path
    if row.destination is None and folders.class_folder(at) is None:
        return
    target = folders.resting_place(at, predicted=label, unsure=False, label=label)
    this = update(videos).where(videos.c.id == original)
    connection.execute(this.values(destination=target or row.moving_to))


def _newest_label(connection: Connection, video_id: int) -> str | None:
    of_video = select(labels.c["class"]).where(labels.c.video_id == video_id, stands())
    name: str | None = connection.scalar(of_video.order_by(labels.c.id.desc()).limit(1))
    return name

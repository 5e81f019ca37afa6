"""Which files may go into the trash, which are there, and which were deleted.

Moves and deletes nothing: the pipeline moves a file whose row has another destination.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Select,
    and_,
    case,
    cast,
    func,
    not_,
    or_,
    select,
    update,
)

from daemon.database.expressions import as_now, content_of_video, lies_below, that_counts
from daemon.database.files import rests_here
from daemon.database.tables import home, labels, part_labels, predictions, videos, windows
from daemon.home.folders import UNSURE_NAME, Folders
from daemon.home.identity import Identity

READ_AT_ONCE = 1000
KEPT = {
    "random_share": "of the random share",
    "labelled": "that a person has labelled",
    "another_class": "in which another class was seen",
}
"""Why files stay, whatever the rules say: in words that follow a number."""
_IDENTITY = [videos.c[name] for name in Identity._fields]


@dataclass(frozen=True)
class Removable:
    """A video whose file may go into the trash."""

    id: int
    name: str
    path: bytes
    identity: Identity
    class_name: str
    """As predicted, by the name that the class has now, or `UNSURE_NAME`."""
    filed_at: datetime
    is_link: bool
    """Whether the file has another name outside: without this one, no space is free."""

    @property
    def size(self) -> int:
        """Of its file, in bytes."""
        return self.identity.size

    @property
    def frees(self) -> int:
        """How many bytes are free without it."""
        return 0 if self.is_link else self.size


@dataclass(frozen=True)
class Trashed:
    """A video whose file lies in the trash, as far as is known."""

    id: int
    name: str
    path: bytes
    identity: Identity
    trashed_at: datetime


class Trash:
    """The rows of a home whose files go into the trash."""

    def __init__(self, engine: Engine, folders: Folders) -> None:
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        self._folders = folders

    def removable(self, classes: Sequence[str]) -> Iterator[Removable]:
        """The videos of these classes that may go, those that were filed first to begin with.

        Whether their files are there is not looked at.
        """
        query = self._removable(classes).execution_options(yield_per=READ_AT_ONCE)
        with self._engine.begin() as connection:
            for row in connection.execute(query):
                identity = Identity(*(getattr(row, name) for name in Identity._fields))
                yield Removable(
                    id=row.id,
                    name=row.name,
                    path=row.path,
                    identity=identity,
                    class_name=row.main,
                    filed_at=row.finished_at,
                    is_link=row.on_filed == "hardlink",
                )

    def kept(self, classes: Sequence[str]) -> dict[int, str]:
        """Why files that lie in the folders of these classes stay, by video: keys of `KEPT`.

        Whether they are there, and old enough to go, is not looked at.
        """
        first = videos.alias()
        why = case(
            (or_(videos.c.sampled, first.c.sampled), "random_share"),
            (_is_labelled(), "labelled"),
            (_shows_others(classes), "another_class"),
        )
        query = self._in_folders(classes, first).with_only_columns(videos.c.id, why.label("why"))
        with self._engine.begin() as connection:
            return {row.id: row.why for row in connection.execute(query) if row.why}

    def put_in(self, going: Sequence[Removable], classes: Sequence[str], now: datetime) -> int:
        """Have these files moved into the trash, if they still may go; gives how many will be."""
        n = 0
        with self._writer.begin() as connection:
            for video in going:
                this = self._removable(classes).where(
                    videos.c.id == video.id, videos.c.path == video.path
                )
                target = self._folders.trashed(video.path)
                if target is None or connection.execute(this).first() is None:
                    continue
                change = {"destination": target, "trashed_at": now, "removed_at": None}
                row = update(videos).where(videos.c.id == video.id)
                connection.execute(row.values(**change))
                n += 1
        return n

    def n_to_move(self) -> int:
        """How many files are still to be moved into the trash."""
        going = select(func.count()).where(_is_going_to(self._folders.trash()))
        with self._engine.begin() as connection:
            return connection.scalar(going) or 0

    def contents(self) -> list[Trashed]:
        """What is in the trash."""
        with self._engine.begin() as connection:
            query = select(
                videos.c.id, videos.c.name, videos.c.path, videos.c.trashed_at, *_IDENTITY
            )
            query = query.where(_lies_in(self._folders.trash())).order_by(videos.c.id)
            return [
                Trashed(
                    row.id,
                    row.name,
                    row.path,
                    Identity(*(getattr(row, name) for name in Identity._fields)),
                    row.trashed_at,
                )
                for row in connection.execute(query)
            ]

    def bytes_that_will_be_free(self, *, also_in_trash: bool) -> int:
        """The size of the files that are still to be moved into the trash; or also of its files."""
        going = _is_going_to(self._folders.trash())
        size = select(_size())
        with self._engine.begin() as connection:
            free = connection.scalar(size.where(going)) or 0
            if also_in_trash:
                free += size_of_trash(connection, self._folders.trash())[1]
            return free

    def deleting(self) -> "Deleting":
        """Within it, nobody can label a video, and files can be deleted."""
        return Deleting(self._writer)

    def _removable(self, classes: Sequence[str]) -> Select[Any]:
        first = videos.alias()
        finished = videos.c.finished_at
        return (
            self._in_folders(classes, first)
            .where(
                not_(videos.c.sampled),
                not_(first.c.sampled),
                not_(_is_labelled()),
                not_(_shows_others(classes)),
            )
            # Not the column alone: by its index, all that were ever finished would be read.
            .order_by(func.coalesce(finished, finished).nulls_first(), videos.c.id)
        )

    def _in_folders(self, classes: Sequence[str], first: FromClause) -> Select[Any]:
        """The videos of these classes whose files lie in their folders or among the copies.

        Args:
            classes: The classes.
            first: An alias of the videos, for the first one with the same content.
        """
        content = content_of_video()
        main = _main_class()
        folders = [
            lies_below(videos.c.path, self._folders.class_folder_of(name)) for name in classes
        ]
        is_copy = and_(
            lies_below(videos.c.path, self._folders.duplicates()),
            videos.c.duplicate_of.is_not(None),
        )
        # Each file of a class lies in the class's own folder, and a copy beside all others.
        lies_there = or_(
            *(and_(folder, main == name) for folder, name in zip(folders, classes, strict=True)),
            and_(is_copy, main.in_(classes)),
        )
        return (
            select(
                videos.c.id,
                videos.c.name,
                videos.c.path,
                *_IDENTITY,
                videos.c.finished_at,
                videos.c.on_filed,
                main.label("main"),
            )
            .join(predictions, and_(predictions.c.video_id == content, that_counts()))
            .join(first, first.c.id == content)
            .where(
                or_(*folders, is_copy),
                lies_there,
                # Neither by the index of states nor in the order of another one: nearly all rows
                # would be read.
                videos.c.state.concat("") == "filed",
                *(videos.c[name].is_(None) for name in ("destination", "moving_to", "dropped_at")),
                videos.c.on_filed.is_distinct_from("leave"),
            )
        )


class Deleting:
    """A transaction in which files are deleted.

    As long as it lasts, no label is written: if it ends before its end, the rows stay as they were,
    and the next one finds the files gone.
    """

    def __init__(self, writer: Engine) -> None:
        self._begun = writer.begin()

    def __enter__(self) -> "Deleting":
        self._connection = self._begun.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._begun.__exit__(*error)

    def may_be_deleted(self, video: Trashed) -> bool:
        """Whether the file of a video is still to be deleted: nobody has labelled or moved it.

        A file that a person took out, and that came into the trash again, is that of a newer row.
        """
        newer = videos.alias()
        has_newer = select(newer.c.id).where(
            newer.c.path == videos.c.path, newer.c.id > videos.c.id, newer.c.removed_at.is_(None)
        )
        rests = select(videos.c.id).where(
            videos.c.id == video.id,
            videos.c.path == video.path,
            videos.c.trashed_at == video.trashed_at,
            videos.c.removed_at.is_(None),
            rests_here(),
            not_(_is_labelled()),
            not_(has_newer.exists()),
        )
        return self._connection.execute(rests).first() is not None

    def deleted(self, video: Trashed, now: datetime) -> None:
        """Note that the file of a video is gone."""
        this = update(videos).where(videos.c.id == video.id)
        self._connection.execute(this.values(removed_at=now))


def size_of_trash(connection: Connection, trash: bytes) -> tuple[int, int]:
    """How many files lie in the trash, which is this folder, and how many bytes they have."""
    query = select(func.count(), _size()).where(_lies_in(trash))
    files, n_bytes = connection.execute(query).one()
    return files, n_bytes


def _size() -> ColumnElement[int]:
    """The size of all files of a query, in bytes. To a server, a sum is no whole number."""
    return cast(func.coalesce(func.sum(videos.c.size), 0), BigInteger)


def _lies_in(trash: bytes) -> ColumnElement[bool]:
    """Whether the file of a row lies in the trash, which is this folder."""
    # Not the column alone: by its index, all that were ever deleted would be read.
    path = func.coalesce(videos.c.path, videos.c.path)
    is_trashed = and_(videos.c.trashed_at.is_not(None), videos.c.removed_at.is_(None))
    return and_(is_trashed, lies_below(path, trash))


def _is_going_to(trash: bytes) -> ColumnElement[bool]:
    return and_(lies_below(videos.c.destination, trash), videos.c.destination.is_not(None))


def is_in_trash(connection: Connection, path: bytes) -> bool:
    """Whether a path lies in the trash of the home."""
    root: bytes = connection.scalar(select(home.c.root)) or b""
    return path.startswith(root + b"/trash/")


def _main_class() -> ColumnElement[str]:
    """The class of the folder that a predicted file belongs in."""
    is_unsure = predictions.c.doubt.is_not(None)
    return case((is_unsure, UNSURE_NAME), else_=as_now(predictions.c["class"]))


def _is_labelled() -> ColumnElement[bool]:
    """Whether a person has ever said anything of a video or its content, or of a part of it."""
    content = content_of_video()
    label = select(labels.c.id).where(labels.c.video_id.in_([videos.c.id, content]))
    of_part = select(part_labels.c.id).where(part_labels.c.video_id.in_([videos.c.id, content]))
    return or_(label.exists(), of_part.exists())


def _shows_others(classes: Sequence[str]) -> ColumnElement[bool]:
    """Whether a window of a long video shows another class for sure."""
    window = select(windows.c.id).where(
        windows.c.video_id == content_of_video(),
        windows.c.model_id == predictions.c.model_id,
        windows.c.doubt.is_(None),
        as_now(windows.c["class"]).not_in(classes),
    )
    return window.exists()

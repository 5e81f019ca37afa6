"""A home that a test fills in a few words: real folders, a real database, and no daemon.

Most files are texts, since nothing here decodes them: the test gives the predictions.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, event, insert, select

from daemon.database.connection import connect, new_id
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.records import Claimed, ModelPrediction, Moved, VideoPrediction
from daemon.database.tables import labels, predictions, videos
from daemon.database.upgrade import is_begun, require_no_lost_database, upgrade
from daemon.home.address import Database
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.labels.class_folders import ClassFolders
from daemon.labels.labels import Label, Labels, Source
from learner.files import sha256_of

START = datetime(2026, 1, 2, tzinfo=UTC)
CLASSES = ("Biking", "Skiing")


# Gives the settings of an empty database on a server, up to date; None: homes have their database
# in a file.
new_database: Callable[[], str] | None = None


def _bring_up_to_date(database: Database) -> None:
    if isinstance(database, Path) and not is_begun(database):
        require_no_lost_database(database)
        shutil.copy(_empty_database(), database)
    else:
        upgrade(database)


@cache
def _empty_database() -> Path:
    """An empty database, up to date. To migrate one for each test takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="vidwatch-tests-"))
    atexit.register(shutil.rmtree, folder)
    upgrade(folder / "vidwatch.db")
    return folder / "vidwatch.db"


class MadeHome:
    """A home with its queue, predictions and labels. The clock `now` stands still until it is set.

    Args:
        root: The home's folder; it is made.
        now: What the clock shows first.
        model: The name of the model that predicts.
        classes: Its classes, in the order of the logits.
        review_share: The share of the videos that is drawn for people to review.
        tree: Whether files keep the sub-folders of the inbox.
    """

    def __init__(
        self,
        root: Path,
        *,
        now: datetime = START,
        model: str = "starter",
        classes: Sequence[str] = CLASSES,
        review_share: float = 0.0,
        tree: bool = False,
    ) -> None:
        self.home = Home.at(root)
        self.home.create()
        settings = self.home.settings.read_text()
        lines = [line for line in settings.splitlines(keepends=True) if line.startswith("database")]
        self._database = "".join(lines)
        if new_database and not lines:
            self._database = new_database()
            self.write_settings(settings)
        if new_database is None or lines:
            _bring_up_to_date(self.home.database)
        self.root = self.home.root
        self.inbox = self.home.inbox
        self.folders = Folders(self.root, tree=tree)
        self.engine = connect(self.home.database)
        self.queue = Queue(self.engine, "me")
        self.predictions = Predictions(self.engine, review_share)
        self.labels = Labels(self.engine, self.folders)
        self.class_folders = ClassFolders(self.engine, self.folders)
        self.now = now
        self.model_name = model
        self.classes = list(classes)

    def close(self) -> None:
        self.engine.dispose()

    def write_settings(self, settings: str) -> None:
        """Write the settings file; the database stays where it is."""
        self.home.settings.write_text(f"{self._database}{settings}")

    def tick(self) -> datetime:
        """Set the clock forward by a minute; gives the new time."""
        self.now += timedelta(minutes=1)
        return self.now

    # Files

    def put(self, name: str, content: str | None = None) -> Path:
        """Write a text file; its content is its name if none is given."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name if content is None else content)
        return path

    def put_video(self, name: str | bytes, frames: int = 8, shade: int = 0) -> Path:
        """Write a real video, and move it into place whole. Its name may have any ending."""
        path = self.root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        from conftest import write_video

        return write_video(self.root / "made.avi", frames=frames, shade=shade).rename(path)

    def put_model(self, checkpoint: Path) -> None:
        """Copy a trained model into `models/`."""
        for suffix in (".json", ".safetensors"):
            source = checkpoint.with_suffix(suffix)
            (self.home.models / source.name).write_bytes(source.read_bytes())

    def found(self, path: Path, group: str | None = None) -> Found:
        """The file as a search of the folders finds it."""
        identity = identify(bytes(path))
        assert identity
        return Found(bytes(path), identity, group)

    def plans(self, ask: Callable[[], object]) -> list[str]:
        """How SQLite finds the rows of each query that is made meanwhile: a line for each step."""
        queries: list[tuple[str, Any]] = []

        def note(*call: Any) -> None:
            queries.append(call[2:4])

        event.listen(self.engine, "before_cursor_execute", note)
        ask()
        event.remove(self.engine, "before_cursor_execute", note)
        with self.engine.begin() as connection:
            return [
                step[3]
                for query, values in queries
                if query.startswith("SELECT")
                for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values)
            ]

    def files(self) -> set[str]:
        """All files but the home's own, relative to the home."""
        paths = (path for path in self.root.rglob("*") if path.is_file())
        return {
            str(path.relative_to(self.root))
            for path in paths
            if not path.name.startswith("vidwatch.")
        }

    # What happens to a video, step by step

    def enqueue(self, *paths: Path, group: str | None = None) -> int:
        """Queue files; gives how many were new."""
        return self.queue.enqueue([self.found(path, group) for path in paths], self.now)

    def arrive(self, name: str, content: str | None = None) -> int:
        """Put a text file into the inbox and queue it; gives its video's id."""
        path = self.put(f"inbox/{name}", content or name)
        self.enqueue(path)
        return int(self.row(path)["id"])

    def claim(self, limit: int = 100) -> list[Claimed]:
        """Take queued videos into hand, as the pipeline does."""
        return self.queue.claim(limit, self.now)

    def register(self, model: str, classes: Sequence[str] | None = None) -> int:
        """Note that this model is used, with the home's classes if none are given; gives its id."""
        known = (model, f"digest of {model}", classes or self.classes, {})
        return self.predictions.register_model(*known, self.now)

    @cached_property
    def model(self) -> int:
        """The id of the model that predicts."""
        return self.register(self.model_name)

    def model_prediction(
        self,
        class_name: str | None = None,
        probability: float = 0.9,
        logits: Sequence[float] | None = None,
        model: int | None = None,
    ) -> ModelPrediction:
        """What a model predicts for a clip: the first class, if none is given."""
        index = self.classes.index(class_name) if class_name else 0
        if logits is None:
            logits = [2.0 if each == index else 0.0 for each in range(len(self.classes))]
        by = self.model if model is None else model
        return ModelPrediction(by, self.classes[index], index, probability, list(logits))

    def prediction(
        self, video: int, predicted: ModelPrediction | None = None, **more: Any
    ) -> VideoPrediction:
        """The prediction of a claimed video; `more` are other fields of `VideoPrediction`."""
        path = self.queue.paths([video])[video]
        fields = {"frames_asked": 16, "frames_read": 16, "decoder": "opencv", **more}
        if "sha256" not in fields:
            fields["sha256"] = sha256_of(Path(os.fsdecode(path)))
        prediction = predicted or self.model_prediction()
        return VideoPrediction(video, path, prediction=prediction, **fields)

    def record(self, *found: VideoPrediction) -> list[tuple[VideoPrediction, int | None]]:
        """Write predictions, as one batch."""
        return self.predictions.record(found, self.folders, self.now)

    def predict(self, predicted: ModelPrediction | None = None, **more: Any) -> list[int]:
        """Claim all that is queued, and write the same prediction for each; gives their ids."""
        ids = [video.id for video in self.claim()]
        self.record(*(self.prediction(video, predicted, **more) for video in ids))
        return ids

    def file(self) -> None:
        """Move each file that is to be moved, as the pipeline does."""
        for move in self.queue.moves(self.now):
            target = Path(os.fsdecode(move.destination))
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(os.fsdecode(move.path)).rename(target)
            self.queue.moved({move.id: Moved(bytes(target), move.destination)}, self.now)

    def predict_and_file(self, predicted: ModelPrediction | None = None, **more: Any) -> list[int]:
        """All that the pipeline does with what is queued; gives the videos' ids."""
        ids = self.predict(predicted, **more)
        self.file()
        return ids

    def fail(self, name: str, reason: str = "not a video") -> int:
        """A text file that arrives, and lies in `failed/` at the end; gives its video's id."""
        video = self.arrive(name)
        (claimed,) = self.claim(1)
        assert claimed.id == video
        self.queue.fail(video, reason, self.folders.failed(claimed.path), self.now)
        self.file()
        return video

    def give_label(
        self,
        video: int,
        class_name: str,
        source: Source = "command",
        who: str = "ann",
        sampled: bool = False,
    ) -> None:
        """Label a video as someone else; its file is not moved yet.

        Args:
            video: The video's id.
            class_name: The class.
            source: How the label is given.
            who: Who gives it.
            sampled: Whether it is given while the random share is reviewed.
        """
        label = Label(video, "labelled", class_name, sampled)
        self.labels.add([label], source, who, self.now)

    # Rows

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes."""
        return self.engine.execution_options(writes=True).begin()

    def add_video(self, connection: Connection, **columns: Any) -> int:
        """Write a row of a filed video whose file does not exist; gives its id."""
        file = {"name": "a.mp4", "path": b"/inbox/a.mp4", "inode": 1, "size": 1, "mtime_ns": 1}
        times = {"arrived_at": self.now, "finished_at": self.now}
        row = {**file, **times, "state": "filed", **columns}
        return new_id(connection.execute(insert(videos).values(**row)))

    def add_prediction(
        self, connection: Connection, video: int, model: int, **columns: Any
    ) -> None:
        """Write a row of a prediction, of the first class if `columns` give no other."""
        row = {"video_id": video, "model_id": model, "class": self.classes[0], "class_index": 0}
        row |= {"probability": 0.9, "logits": [], "created_at": self.now}
        row |= {"frames_asked": 16, "frames_read": 16, "decoder": "opencv"}
        connection.execute(insert(predictions).values({**row, **columns}))

    def rows(self, table: Table = videos, by: str = "id") -> list[Any]:
        """All rows of a table, in the order of the column `by`."""
        with self.engine.begin() as connection:
            return list(connection.execute(select(table).order_by(table.c[by])))

    def row(self, video: Path | int) -> Any:
        """The one row of a video, by its id or by its file's path."""
        is_it = videos.c.id == video if isinstance(video, int) else videos.c.path == bytes(video)
        with self.engine.begin() as connection:
            return connection.execute(select(videos).where(is_it)).mappings().one()

    def path(self, video: int) -> Path:
        """Where a video's file lies."""
        return Path(os.fsdecode(self.row(video)["path"]))

    def place(self, video: int) -> str:
        """Where a video's file lies, relative to the home."""
        return str(self.path(video).relative_to(self.root))

    def given_labels(self, *more: str) -> list[tuple[Any, ...]]:
        """Each label's video, verdict, class and source, and the columns `more`, oldest first."""
        names = ("video_id", "verdict", "class", "source", *more)
        query = select(*(labels.c[name] for name in names)).order_by(labels.c.id)
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.execute(query)]

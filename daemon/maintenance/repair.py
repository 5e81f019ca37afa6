"""Repairs what a check has found, if a person says so. Finds nothing, and removes no clip."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, or_, select, update

from daemon.database.events import note_failed
from daemon.database.expressions import that_counts
from daemon.database.files import in_its_place
from daemon.database.queue import Queue
from daemon.database.records import FREED
from daemon.database.tables import predictions, videos
from daemon.database.windows import forget_windows
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import Identity, display_name, identify
from daemon.home.moving import put_back
from daemon.home.sidecars import Sidecars


class Repair:
    """Repairs rows and files of one home. The caller holds its lock."""

    def __init__(self, home: Home, engine: Engine) -> None:
        self._home = home
        self._engine = engine
        self._writer = engine.execution_options(writes=True)

    def put_back(self, file: Found, texts: Sequence[bytes]) -> None:
        """Put a file into the inbox, and remove the texts that say why it had failed."""
        placed = put_back(file, self._home.inbox)
        if placed is not None:
            self._follow(file.path, placed)
        for text in texts:
            Path(os.fsdecode(text)).unlink(missing_ok=True)

    def predict_again(self, row: Any) -> None:
        """Queue a video again, with its file in the inbox, or where it stays.

        It fails if its file is gone, or if another video has the file and is on its way.
        """
        place = row.path
        if identify(place) is None and row.moving_to is not None:
            place = row.moving_to  # the daemon ended before it noted that the file is there
        identity = identify(place)
        if identity is None:
            self._fail(row, "its file is gone, and it has no prediction")
            return
        if (other := self._on_its_way(identity, row)) is not None:
            self._yield(row, other, Found(place, identity))
            return
        stays = row.on_filed is not None and row.left_at is None
        path = place if stays else put_back(Found(place, identity), self._home.inbox)
        placed = identify(path) if path else None
        if path is None or placed is None:
            self._fail(row, "its file is gone, and it has no prediction")
            return
        queued = {
            "state": "queued",
            "path": path,
            "name": display_name(path),
            "sha256": None,
            "finished_at": None,
            "duplicate_of": None,
            "error": None,
            "changed_at": now(),
        }
        with self._writer.begin() as connection:
            # A model predicts a video once: what is left of a prediction would be in the way.
            connection.execute(delete(predictions).where(predictions.c.video_id == row.id))
            forget_windows(connection, [row.id])
            _change(connection, row, **queued, **placed._asdict())
        self._follow(place, path)

    def _follow(self, source: bytes, target: bytes) -> None:
        """Move the sidecars of a clip after it."""
        Sidecars(os.fsencode(self._home.root)).follow(source, target)

    def _on_its_way(self, identity: Identity, row: Any) -> Any:
        """Another video with this file that is not finished yet; None if there is none."""
        numbers = {name: videos.c[name] == value for name, value in identity._asdict().items()}
        is_device = or_(numbers.pop("device"), videos.c.device.is_(None))
        others = select(videos).where(
            videos.c.id != row.id, videos.c.finished_at.is_(None), is_device, *numbers.values()
        )
        with self._engine.begin() as connection:
            return connection.execute(others.order_by(videos.c.id).limit(1)).mappings().first()

    def _yield(self, row: Any, other: Any, file: Found) -> None:
        """Let the file be that of another video alone, which is on its way."""
        if in_its_place(other) is None:
            here = {"path": file.path, "name": display_name(file.path)}
            this = update(videos).where(videos.c.id == other["id"])
            with self._writer.begin() as connection:
                connection.execute(this.values(**here))
        self._fail(row, f"its file is that of video {other['id']}, and it has no prediction")

    def _fail(self, row: Any, error: str) -> None:
        failed = {"state": "failed", "error": error, "duplicate_of": None}
        finished_at = func.coalesce(videos.c.finished_at, now())
        with self._writer.begin() as connection:
            _change(connection, row, **failed, finished_at=finished_at)
            note_failed(connection, [row.id])

    def give_up(self, row: Any) -> None:
        """Mark a video as failed: its file does not come back."""
        self._fail(row, "vanished before it could be read")

    def keep_first(self, row: Any) -> None:
        """Let only the first of a video's predictions count."""
        counting = and_(predictions.c.video_id == row.id, that_counts())
        with self._writer.begin() as connection:
            first = connection.scalar(select(func.min(predictions.c.id)).where(counting))
            others = update(predictions).where(counting, predictions.c.id != first)
            connection.execute(others.values(kind="rescored"))

    def recover(self) -> None:
        """Put what is in hand back into the queue."""
        Queue(self._engine, "check").recover()


def _change(connection: Connection, row: Any, **values: Any) -> None:
    freed = {**FREED, "destination": None, "moving_to": None}
    this = update(videos).where(videos.c.id == row.id)
    connection.execute(this.values(**values, **freed))

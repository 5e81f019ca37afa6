"""Repairs what a check has found, if a person says so. Finds nothing, and removes no clip."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, and_, func, select, update

from daemon.database.expressions import that_counts
from daemon.database.queue import Queue
from daemon.database.records import FREED
from daemon.database.tables import predictions, videos
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import display_name, identify
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
            Sidecars(os.fsencode(self._home.root)).follow(file.path, placed)
        for text in texts:
            Path(os.fsdecode(text)).unlink(missing_ok=True)

    def predict_again(self, row: Any) -> None:
        """Queue a video again, with its file in the inbox. It fails if its file is gone."""
        place = row.path
        if identify(place) is None and row.moving_to is not None:
            place = row.moving_to  # the daemon ended before it noted that the file is there
        identity = identify(place)
        path = None
        if identity:
            path = put_back(Found(place, identity), self._home.inbox)
        if path is None:
            error = "its file is gone, and it has no prediction"
            self._change(row, state="failed", error=error, duplicate_of=None)
            return
        placed = identify(path)
        assert placed
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
        self._change(row, **queued, **placed._asdict())

    def give_up(self, row: Any) -> None:
        """Mark a video as failed: its file does not come back."""
        error = "vanished before it could be read"
        self._change(row, state="failed", error=error, finished_at=now())

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

    def _change(self, row: Any, **values: Any) -> None:
        freed = {**FREED, "destination": None, "moving_to": None}
        with self._writer.begin() as connection:
            this = update(videos).where(videos.c.id == row.id)
            connection.execute(this.values(**values, **freed))

"""Mends what a check has found, where a person says so. Finds nothing, and removes no clip."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select, update

from daemon.database.queue import FREED, Queue
from daemon.database.tables import predictions, that_counts, videos
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import display_name, identify
from daemon.home.moving import put_back


class Repair:
    """Rows and files of one home; the caller holds its lock."""

    def __init__(self, home: Home, engine: Engine) -> None:
        self._home, self._engine = home, engine
        self._writer = engine.execution_options(writes=True)

    def put_back(self, file: Found, texts: Sequence[bytes]) -> None:
        """Into the inbox; the texts that say why it had failed go."""
        put_back(file, self._home.inbox)
        for text in texts:
            Path(os.fsdecode(text)).unlink(missing_ok=True)

    def answer_anew(self, row: Any) -> None:
        """Into the inbox with its file; a row whose file is gone is failed."""
        identity, path = identify(row.path), None
        if identity:
            path = put_back(Found(row.path, identity), self._home.inbox)
        if path is None:
            self._change(
                row,
                state="failed",
                error="its file is gone, and it has no answer",
                duplicate_of=None,
            )
            return
        found_there = identify(path)
        assert found_there
        file = {"path": path, "name": display_name(path), **found_there._asdict()}
        anew = {
            "state": "queued",
            "sha256": None,
            "finished_at": None,
            "duplicate_of": None,
            "error": None,
        }
        self._change(row, **file, **anew)

    def give_up(self, row: Any) -> None:
        """Its file does not come back."""
        self._change(
            row, state="failed", error="vanished before it could be read", finished_at=now()
        )

    def keep_first(self, row: Any) -> None:
        """Of several answers."""
        of_this = (predictions.c.video_id == row.id, that_counts())
        with self._writer.begin() as write:
            first = write.scalar(select(func.min(predictions.c.id)).where(*of_this))
            write.execute(
                update(predictions)
                .where(*of_this, predictions.c.id != first)
                .values(kind="rescored")
            )

    def recover(self) -> None:
        """What is in hand goes back into the queue."""
        Queue(self._engine, "check").recover()

    def _change(self, row: Any, **values: Any) -> None:
        with self._writer.begin() as write:
            freed = {**FREED, "destination": None}
            write.execute(update(videos).where(videos.c.id == row.id).values(**values, **freed))

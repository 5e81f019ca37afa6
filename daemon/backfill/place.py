"""Where the results of a backfill go: the database of a home, or a folder of Parquet parts."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from daemon.database.predictions import Predictions
from daemon.home.folders import Folders
from daemon.home.settings import Settings
from learner.errors import PassingError
from learner.files import open_own

LOCK = ".backfill.lock"


class Parts(Protocol):
    """Takes what is recorded out of the database now and then."""

    def write(self, *, is_last: bool) -> None:
        """Write the next part if there is enough for one, or if it is the last one."""


class NoParts:
    """What is recorded stays in the database of the home."""

    def write(self, *, is_last: bool) -> None:
        """Nothing is written elsewhere."""


@dataclass(frozen=True)
class Place:
    """A database, and what is recorded into it."""

    engine: Engine
    predictions: Predictions
    folders: Folders
    """The folders of the home: what lies in archives is moved to none of them."""
    settings: Settings
    parts: Parts
    since: datetime
    """What has failed before is tried again."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder as its one backfill, until the process ends, however it does.

    Raises:
        PassingError: another one holds it.
    """
    descriptor = open_own(folder / LOCK, os.O_RDWR, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"another backfill works on {folder}: wait for it, or stop it"
            raise PassingError(text) from None
        yield
    finally:
        os.close(descriptor)

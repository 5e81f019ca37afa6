"""The installed command as a process of its own: a home, and the daemon on it."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import homes
import pytest
from conftest import write_video
from sqlalchemy import select

from daemon.database.connection import opened
from daemon.database.tables import videos
from daemon.home.address import Database, Server
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.report.status import read_status

VIDWATCH = Path(sys.executable).with_name("vidwatch")
SLOWEST = 300  # seconds; the machines that run this are shared


class Daemon:
    """A home, and the daemon on it."""

    def __init__(self, root: Path) -> None:
        self.root, self.inbox = root, root / "inbox"
        self.environment = {
            **os.environ,
            "VIDWATCH_HOME": str(root),
            "VIDWATCH_SETTLE_SECONDS": "0.5",
            "VIDWATCH_RESCAN_SECONDS": "1",
            "VIDWATCH_DEVICE": "cpu",
        }
        self.process: subprocess.Popen[str] | None = None
        self._database = ""
        if homes.new_database:
            home = Home.at(root)
            home.create()
            self._database = homes.new_database()
            self.write_settings(home.settings.read_text())
        assert self.command("init").returncode == 0

    def command(
        self, *arguments: str, prefix: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, VIDWATCH, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SLOWEST,
        )

    def start(self) -> None:
        self.process = subprocess.Popen(
            [VIDWATCH, "run"],
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, number: signal.Signals) -> tuple[int, str]:
        assert self.process
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=SLOWEST)
        return self.process.returncode, log

    def status(self) -> dict[str, Any]:
        return read_status(Home.at(self.root), now()).to_json()

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + SLOWEST
        while not condition(status := self.status()):
            assert time.monotonic() < deadline, status
            assert self.process is None or self.process.poll() is None, "the daemon ended"
            time.sleep(0.2)
        return status

    def write_settings(self, settings: str) -> None:
        """Write the settings file; the database stays where it is."""
        (self.root / "vidwatch.toml").write_text(f"{self._database}{settings}")

    @property
    def database(self) -> Database:
        return Home.at(self.root).database

    def query(self, sql: str) -> list[Any]:
        if isinstance(self.database, Server):
            with opened(self.database, read_only=True) as engine, engine.begin() as connection:
                return list(connection.exec_driver_sql(sql.replace("%", "%%")))
        with closing(sqlite3.connect(self.root / "vidwatch.db")) as connection:
            return connection.execute(sql).fetchall()

    def paths(self) -> dict[str, Path]:
        """Where each video's file lies, by its name."""
        with opened(self.database, read_only=True) as engine, engine.begin() as connection:
            rows = connection.execute(select(videos.c.name, videos.c.path))
            return {name: Path(os.fsdecode(path)) for name, path in rows}

    def names(self, folder: str) -> list[str]:
        return sorted(path.name for path in (self.root / folder).rglob("*") if path.is_file())


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "home")
    yield daemon
    if daemon.process and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.communicate()


def drop(folder: Path, name: str, number: int = 0) -> Path:
    """A video with content of its own, moved in whole."""
    folder.mkdir(parents=True, exist_ok=True)
    made = write_video(folder.parent / f".made-{number}.avi", frames=8 + number % 7, shade=number)
    return made.rename(folder / name)

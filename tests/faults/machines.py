"""A home on a share whose database is on a server, and machines on which daemons work on it."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from homes import MadeHome
from ordeal import tiny_model as tiny_model
from ordeal import write_clip
from postgres import TestServer

from daemon.database.daemons import Member, members
from daemon.home.clock import now
from daemon.home.folder import Home

PROGRAM = Path(__file__).with_name("as_machine.py")
SLOWEST = 180  # seconds; the machines that run this are shared
FOLDERS = ("inbox", "classified", "labelled", "failed", "duplicates")


class Machine:
    """A machine: its name, its own path to the home, and the daemon that runs there."""

    def __init__(self, name: str, path: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.path = path
        self.log = path.parent / f"{name}.log"
        self.environment = {**environment, "VIDWATCH_MACHINE": name, "VIDWATCH_HOME": str(path)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, PROGRAM, "run"],
                env={**self.environment, **more},
                stderr=log,
                stdout=log,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """To the daemon and all its decoders."""
        assert self.process
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """As if the power went."""
        self.send(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(SLOWEST)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, PROGRAM, *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SLOWEST,
        )


class Share(MadeHome):
    """The home, with machines that have it at paths of their own. Files are counted by content."""

    def __init__(self, root: Path, model: Path) -> None:
        super().__init__(root)
        self.put_model(model)
        self.dropped: Counter[str] = Counter()
        self._made = root / ".made"
        self._made.mkdir()
        self.machines: list[Machine] = []
        self._settings = {
            "model": "tiny",
            "device": "cpu",
            "decoders": 1,
            "batch_size": 4,
            "settle_seconds": 0.2,
            "rescan_seconds": 1,
            "backup_hours": 0,
        }

    def machine(self, name: str) -> Machine:
        """A machine that reaches the home by a link of its own."""
        folder = self.root.parent / name
        folder.mkdir()
        path = folder / "share"
        path.symlink_to(self.root)
        known = {f"VIDWATCH_{key.upper()}": str(value) for key, value in self._settings.items()}
        cache = {"XDG_CACHE_HOME": str(folder / "cache")}
        made = Machine(name, path, {**os.environ, **known, **cache})
        self.machines.append(made)
        return made

    def drop(self, number: int, relative: str) -> Path:
        """A clip of that content, moved into the home whole."""
        made = self._made / f"{number}.avi"
        write_clip(made, number)
        self.dropped[hashlib.sha256(made.read_bytes()).hexdigest()] += 1
        target = self.root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return made.rename(target)

    def members(self) -> dict[str, Member]:
        """The daemons that are alive, by the names of their machines."""
        with self.engine.begin() as connection:
            return {one.machine: one for one in members(connection) if one.is_alive(now())}

    def leader(self) -> str | None:
        return next((name for name, one in self.members().items() if one.leads), None)

    def n_at_work(self) -> int:
        """How many daemons are alive, and have loaded a model."""
        return sum(one.model is not None for one in self.members().values())

    def query(self, sql: str) -> list[Any]:
        with self.engine.begin() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql).all()]

    def n_filed(self) -> int:
        return int(self.query("SELECT count(*) FROM videos WHERE state = 'filed'")[0][0])

    def is_done(self) -> bool:
        ((rows, left),) = self.query(
            "SELECT count(*), count(*) FILTER (WHERE finished_at IS NULL OR destination IS NOT NULL)"
            " FROM videos"
        )
        return (rows, left) == (self.dropped.total(), 0)

    def wait_for(self, condition: Callable[[], object], seconds: float = SLOWEST) -> float:
        """Wait until it is true; gives for how long."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() > began + seconds:
                raise AssertionError(self.story())
            time.sleep(0.1)
        return time.monotonic() - began

    def story(self) -> str:
        states = self.query("SELECT state, claimed_by, count(*) FROM videos GROUP BY 1, 2")
        logs = [f"{one.name}: {one.log.read_text()[-3000:]}" for one in self.machines]
        return "\n".join([str(states), str(self.members()), *logs])

    def require_each_once(self) -> None:
        """Each file is there once, each content was predicted once, and nothing is left to do."""
        assert self.is_done(), self.story()
        files = [
            path for name in FOLDERS for path in (self.root / name).rglob("*") if path.is_file()
        ]
        there = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
        assert there == self.dropped
        assert not [path for path in files if path.is_relative_to(self.inbox)]
        rows = self.query("SELECT state, claimed_by, count(*) FROM videos GROUP BY 1, 2")
        assert rows == [("filed", None, self.dropped.total())]
        of_content = "FROM predictions p JOIN videos v ON v.id = p.video_id GROUP BY 1"
        answers = self.query(f"SELECT v.sha256, count(*) {of_content}")
        assert dict(answers) == dict.fromkeys(self.dropped, 1)
        assert self.query("SELECT count(*) FROM labels") == [(0,)], "what we move is no label"


def end_all(machines: list[Machine]) -> None:
    for one in machines:
        if one.process and one.process.poll() is None:
            with suppress(ProcessLookupError, psutil.Error):
                os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


@pytest.fixture
def share(
    tmp_path: Path, tiny_model: Path, postgres: TestServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Share]:
    import homes

    monkeypatch.setattr(homes, "new_database", postgres.settings_of_new_home)
    made = Share(Home.at(tmp_path).root / "home", tiny_model)
    yield made
    end_all(made.machines)
    made.close()

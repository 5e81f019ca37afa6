"""A home on which a real daemon is ended again and again, and what must be true of it afterwards."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pytest
from homes import MadeHome
from tiny import class_folders, trained_on

from daemon.home.folder import FOLDERS
from daemon.home.reasons import REASON

VIDWATCH = Path(sys.executable).with_name("vidwatch")
SLOWEST = 120  # seconds; the machines that run this are shared


def write_clip(path: Path, number: int) -> None:
    """A clip of a few frames, and of a content of its own for each number."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (32, 32))
    for index in range(4):
        image = np.full((32, 32, 3), 200 * (number % 2) + 10 * index, np.uint8)
        for bit in range(16):  # the number, in blocks that compression leaves apart
            image[8 * (bit // 4) : 8 * (bit // 4) + 8, 8 * (bit % 4) : 8 * (bit % 4) + 8, 0] = (
                255 * (number >> bit & 1)
            )
        writer.write(image)
    writer.release()


class Ordeal(MadeHome):
    """A home with a daemon that predicts with a small model.

    `dropped` counts the files given to it, by content.
    """

    def __init__(self, root: Path, model: Path, **settings: object) -> None:
        super().__init__(root)
        self.put_model(model)
        known = {
            "home": root,
            "model": "tiny",
            "device": "cpu",
            "settle_seconds": 0.2,
            "rescan_seconds": 1,
            **settings,
        }
        self.environment = {
            **os.environ,
            **{f"VIDWATCH_{key.upper()}": str(value) for key, value in known.items()},
        }
        self.dropped: Counter[str] = Counter()
        self.videos: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "daemon.log"
        self._made = root / ".made"
        self._made.mkdir()
        self._go = root / ".go"

    def drop(self, number: int, relative: str, *, video: bool = True) -> Path:
        """A file of that content, moved into the home whole."""
        made = self._made / f"{number}.avi"
        if video:
            write_clip(made, number)
        else:
            made.write_text(f"no video {number}")
        content = hashlib.sha256(made.read_bytes()).hexdigest()
        self.dropped[content] += 1
        if video:
            self.videos.add(content)
        target = self.home.root / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return made.rename(target)

    def start(
        self,
        fault: str | None = None,
        *,
        all_of_it: bool = False,
        hold: bool = False,
        prefix: tuple[str, ...] = (),
    ) -> None:
        """The daemon, to die at a named step, alone or with its children; with `hold`, the thread
        that gets there waits for `let_go`.
        """
        environment = self.environment
        if fault:
            environment = self.with_fault(fault, all_of_it=all_of_it, hold=hold)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, VIDWATCH, "run"], env=environment, stderr=log, start_new_session=True
            )

    def with_fault(
        self, fault: str, *, all_of_it: bool = False, hold: bool = False
    ) -> dict[str, str]:
        """The environment of a process that dies, or waits, at a named step; see `start`."""
        self.reached.unlink(missing_ok=True)
        self._go.unlink(missing_ok=True)
        paths = (str(Path(__file__).parent), self.environment.get("PYTHONPATH", ""))
        return {
            **self.environment,
            "PYTHONPATH": os.pathsep.join(paths),
            "VIDWATCH_TEST_FAULT": fault,
            "VIDWATCH_TEST_FAULT_DONE": str(self.reached),
            "VIDWATCH_TEST_FAULT_ALL": "1" if all_of_it else "",
            "VIDWATCH_TEST_FAULT_HOLD": str(self._go) if hold else "",
        }

    @property
    def reached(self) -> Path:
        """Is there when the fault has happened."""
        return self.home.root / ".reached"

    def let_go(self) -> None:
        """Let the thread go on that is held at its step."""
        self._go.touch()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of its own process, on this home."""
        return subprocess.run(
            [VIDWATCH, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SLOWEST,
        )

    def wait_for(self, condition: Callable[[], object], seconds: float = SLOWEST) -> bool:
        """Whether it came true in time, while the daemon lived."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                return bool(condition())
            time.sleep(0.02)
        return True

    def kill(self, *, all_of_it: bool = False) -> None:
        """End the daemon at once, alone or with its children, and see that none of these stays
        behind.
        """
        assert self.process
        if self.process.poll() is None:
            (os.killpg if all_of_it else os.kill)(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        assert code == -signal.SIGKILL, (code, self.end_of_log())
        self.require_no_process()

    def stop(self) -> None:
        """Tell the daemon to end, not before it hears that: Python takes a moment to start."""
        assert self.process
        assert self.wait_for(lambda: self.home.running()), self.end_of_log()
        self.process.terminate()
        code = self.process.wait(SLOWEST)
        assert code == 0, (code, self.end_of_log())
        self.require_no_process()

    def require_no_process(self) -> None:
        """No child outlives its daemon for long."""
        deadline = time.monotonic() + 60
        while left := list(self.processes()):
            assert time.monotonic() < deadline, left
            time.sleep(0.02)

    def processes(self) -> Iterator[psutil.Process]:
        """All that work on this home."""
        mark = self.environment["VIDWATCH_HOME"]
        for process in psutil.process_iter():
            try:
                if (
                    process.status() != psutil.STATUS_ZOMBIE
                    and process.environ().get("VIDWATCH_HOME") == mark
                ):
                    yield process
            except psutil.Error:
                continue

    def end_of_log(self) -> str:
        """The end of the daemon's log."""
        return self.log.read_text(errors="replace")[-3000:]

    def query(self, sql: str) -> list[Any]:
        """Rows as they are stored, but for paths, which are whole."""
        database = self.home.database
        if isinstance(database, Path):
            with closing(sqlite3.connect(database, timeout=30)) as connection:
                return connection.execute(sql).fetchall()
        root = os.fsencode(self.root)
        with self.engine.connect() as connection:
            return [
                tuple(
                    root + value[1:] if isinstance(value, bytes) and value[:2] == b"./" else value
                    for value in row
                )
                for row in connection.exec_driver_sql(sql.replace("%", "%%"))
            ]

    def is_worked_off(self) -> bool:
        """Whether each file that was dropped has a row, and each row has come to its end."""
        ((rows, left),) = self.query(
            "SELECT count(*), count(*) FILTER (WHERE finished_at IS NULL) FROM videos"
        )
        ((moving,),) = self.query("SELECT count(*) FROM videos WHERE destination IS NOT NULL")
        return (rows, left, moving) == (self.dropped.total(), 0, 0)

    def work_off(self) -> None:
        """Run the daemon until there is nothing left to do, and end it well."""
        self.start()
        left = "SELECT * FROM videos WHERE finished_at IS NULL"
        assert self.wait_for(self.is_worked_off, SLOWEST + self.dropped.total()), (
            self.query(left),
            self.end_of_log(),
        )
        self.stop()

    def kept_files(self) -> Iterator[Path]:
        """All that lies in the home's folders, but our texts that say why a file failed."""
        for folder in (name for name in FOLDERS if name not in ("models", "backups")):
            for path in (self.home.root / folder).rglob("*"):
                if path.is_file() and not path.read_bytes().startswith(REASON):
                    yield path

    def require_all_there(self) -> None:
        """Each file that was dropped is there once, with its content, wherever it is on its way."""
        there = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in self.kept_files())
        assert there == self.dropped, (self.dropped - there, there - self.dropped)

    def require_each_content(self) -> None:
        """Each content that was dropped is there at least once."""
        there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in self.kept_files()}
        assert set(self.dropped) <= there, set(self.dropped) - there

    def require_removed(self, copies: int) -> None:
        """Each content is there once, and each of its other rows says that its file was removed."""
        self.require_each_content()
        contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in self.kept_files()]
        assert sorted(contents) == sorted(self.dropped)
        rows = "SELECT count(*) FROM videos WHERE state = 'filed' AND error IS NULL"
        assert self.query(f"{rows} AND dropped_at IS NOT NULL") == [(copies,)]
        assert self.query(rows) == [(self.dropped.total(),)]
        done = self.command("check")
        assert done.returncode == 0, done.stdout + done.stderr

    def require_well(self) -> None:
        """Nothing lost, nothing doubled, nothing left to do; `vidwatch check` agrees."""
        self.require_all_there()
        assert [path for path in self.kept_files() if path.is_relative_to(self.home.inbox)] == []
        rows = self.query("SELECT path, sha256, state, error FROM videos")
        assert len(rows) == self.dropped.total()
        assert {Path(os.fsdecode(row[0])) for row in rows} == set(self.kept_files())
        for path, sha256, state, error in rows:
            content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            assert state == ("filed" if content in self.videos else "failed"), (path, error)
            assert sha256 in (content, None)
        of_content = (
            "FROM predictions JOIN videos ON videos.id = video_id WHERE kind = 'answer' GROUP BY 1"
        )
        answers = self.query(f"SELECT sha256, count(*) {of_content}")
        assert dict(answers) == dict.fromkeys(self.videos, 1)
        done = subprocess.run(
            [VIDWATCH, "check"], env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    trained_on(class_folders(folder / "data"), folder / "tiny")
    return folder / "tiny"


@pytest.fixture
def ordeal(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ordeal]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ordeal = Ordeal(tmp_path / "home", tiny_model)
    yield ordeal
    if ordeal.process and ordeal.process.poll() is None:
        os.killpg(ordeal.process.pid, signal.SIGKILL)
        ordeal.process.wait()

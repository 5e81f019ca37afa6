"""Exports of a million videos, in each format: seconds and the greatest memory of the command, with
a program that writes to the same database all the while.

The million is that of `million.py`.
"""

import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from homes import MadeHome
from million import made
from table import Row

from daemon.database.connection import connect

FORMATS = ("csv", "jsonl", "parquet", "sqlite")
ASKED = 60  # seconds
MEMORY = 512  # megabytes
PAUSE = 0.1  # seconds between two commits of the writer


@dataclass
class Writer:
    """Commits as a busy daemon does, until it is told to stop."""

    home: MadeHome
    slowest: float = 0.0
    longest_log: int = 0
    """Bytes of the log (WAL)."""
    is_over: bool = False

    def run(self) -> None:
        """Commit ten times a second."""
        engine = connect(self.home.home.database).execution_options(writes=True)
        log = self.home.home.database.with_name("vidwatch.db-wal")
        while not self.is_over:
            began = time.monotonic()
            with engine.begin() as connection:
                connection.exec_driver_sql(
                    "UPDATE videos SET movement = random() WHERE id IN"
                    " (SELECT abs(random()) % 1000000 FROM sqlite_master LIMIT 8)"
                )
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.longest_log = max(self.longest_log, log.stat().st_size)
            time.sleep(PAUSE)
        engine.dispose()


def rows(clips: Path) -> Iterator[Row]:
    """Seconds, megabytes, and what a writer notices. No clip is read."""
    with tempfile.TemporaryDirectory() as scratch:
        home = made(Path(scratch, "home"))
        writer = Writer(home)
        thread = threading.Thread(target=writer.run)
        thread.start()
        for form in FORMATS:
            target = Path(scratch, f"a.{form}")
            taken, spent, memory = exported(home, target)
            target.unlink()
            what = f"export of a million, {form}"
            yield Row(what, taken, "s", "what is asked for", ASKED, "≤ 1")
            # On a machine that others use, the clock says little.
            yield Row(f"{what}, processor", spent, "s", "what is asked for", ASKED, "≤ 1")
            yield Row(f"{what}, memory", memory, "MB", "flat", MEMORY, "≤ 1")
        writer.is_over = True
        thread.join()
        yield Row("slowest commit meanwhile", writer.slowest, "s", "patience", 30, "≤ 0.1")
        yield Row("longest log meanwhile", writer.longest_log / 1e6, "MB", "bounded", 500, "≤ 1")
        home.close()


def exported(home: MadeHome, target: Path) -> tuple[float, float, float]:
    """The seconds, those of the processor, and the megabytes of one export."""
    command = [Path(sys.executable).with_name("vidwatch"), "--home", home.root, "export", target]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = wait(process.pid)
    if status:
        raise RuntimeError(f"{target}: the export failed")
    spent = usage.ru_utime + usage.ru_stime
    return time.monotonic() - began, spent, usage.ru_maxrss / 1024


def wait(pid: int) -> tuple[int, int, resource.struct_rusage]:
    """Wait for a process, and give what it used."""
    return os.wait4(pid, 0)

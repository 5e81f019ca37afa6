"""What is shown while another program has locked the database, by real processes."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pytest
from homes import MadeHome
from installed import SLOWEST, Daemon
from installed import daemon as daemon
from sqlalchemy.exc import OperationalError

from daemon.database.connection import connect
from daemon.database.holder import holder
from daemon.database.queue import Queue
from daemon.home.settings import Settings
from daemon.service.trouble import LockWatch, note_unless_locked
from daemon.service.watchers import watchers

KINDS_OF_DATABASE = ("sqlite",)  # only a file is locked as a whole

# As a database browser in the middle of a change, and as one that lets nobody read either.
WRITER = "BEGIN IMMEDIATE"
ALONE = "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t (a); DROP TABLE t; COMMIT"
SOON = 15  # seconds


@contextmanager
def locked(database: Path, statements: str) -> Iterator[subprocess.Popen[str]]:
    """Another program has locked the database."""
    program = f"""
import sqlite3, sys
connection = sqlite3.connect({str(database)!r}, isolation_level=None)
for statement in {statements!r}.split(";"):
    connection.execute(statement)
print("locked", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_program_that_keeps_the_database_is_shown_by_name_until_it_ends(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    with locked(daemon.root / "vidwatch.db", WRITER) as other:
        began = time.monotonic()
        status = daemon.wait_for(lambda status: "database in use" in status["daemon"]["notices"])
        took = time.monotonic() - began
        assert f"process {other.pid} (" in status["daemon"]["notices"]["database in use"]
        assert took < SOON
        shown = daemon.command("status")
        assert shown.returncode == 0
        assert "database in use" in shown.stdout
    daemon.wait_for(lambda status: "database in use" not in status["daemon"]["notices"])
    code, log = daemon.end(signal.SIGTERM)
    assert code == 0
    assert "database in use: process" in log
    assert "database in use: no longer a problem" in log


@pytest.mark.slow
@pytest.mark.parametrize(("zone", "shown"), [("UTC", "12:30 UTC"), ("EST5", "07:30 EST")])
def test_since_when_it_is_locked_is_told_in_the_zone_of_the_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, shown: str
) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    notices: dict[str, str | None] = {}
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        with locked(path, WRITER), closing(LockWatch(path, notices.__setitem__)) as watch:
            assert not watch.tend(datetime(2026, 1, 2, 12, 30, tzinfo=UTC))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert f"since about 2026-01-02 {shown}:" in (notices["database in use"] or "")


def test_that_a_program_has_the_database_is_told_by_one_notice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = MadeHome(tmp_path / "home")
    home.put("inbox/a.avi")
    queue = Queue(connect(home.home.database, patience=0.1), "me")
    settings = Settings(settle_seconds=0.1, rescan_seconds=1)
    with locked(home.home.database, WRITER), home.home.lock() as lock:
        watching = watchers(
            home.home, settings, queue, Event(), lock.note, lambda loop: None, once=False
        )
        for watcher in watching:
            watcher.start()
        try:
            deadline = time.monotonic() + SLOWEST
            while "files cannot be queued now" not in caplog.text:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        finally:
            for watcher in watching:
                watcher.stop()
        with pytest.raises(OperationalError) as error:
            queue.recover()
        note_unless_locked(lock, error.value)
        assert dict(lock.running.notices) == {}


@pytest.mark.slow
def test_a_status_that_is_watched_goes_on_in_a_home_whose_name_looks_like_markup(
    tmp_path: Path,
) -> None:
    home = MadeHome(tmp_path / "B [" / "b]").home
    command = [Path(sys.executable).with_name("vidwatch"), "--home", home.root, "status", "--watch"]
    leader, follower = os.openpty()
    with locked(home.database, ALONE):
        process = subprocess.Popen(command, stdout=follower, stderr=follower)
        os.close(follower)
        text = b""
        try:
            while b"try again" not in text:
                text += os.read(leader, 65536)
                assert b"Traceback" not in text
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait() == 0
            os.close(leader)


@pytest.mark.slow
def test_a_database_that_nobody_can_read_is_shown_at_the_start_and_the_daemon_goes_on(
    daemon: Daemon,
) -> None:
    with locked(daemon.root / "vidwatch.db", ALONE) as other:
        daemon.start()
        deadline = time.monotonic() + SLOWEST
        while "database in use" not in (shown := daemon.command("status")).stdout:
            assert time.monotonic() < deadline, shown
        assert shown.returncode == 75
        assert "starting" in shown.stdout
        assert f"is in use by process {other.pid} (" in shown.stderr
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    assert daemon.end(signal.SIGTERM)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("statements", [WRITER, ALONE], ids=["writer", "alone"])
def test_commands_that_waited_in_vain_say_who_has_the_database(
    daemon: Daemon, statements: str
) -> None:
    commands = ["label 1 Biking", "groups --pattern ^(.)", "models promote starter"]
    if statements == ALONE:
        commands += ["status", "labels", "init", "check --quick", "backup", "retrain"]
    with locked(daemon.root / "vidwatch.db", statements) as other, ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda command: daemon.command(*command.split()), commands))
    for command, result in zip(commands, done, strict=True):
        expected = f"is in use by process {other.pid} ("
        assert (command, result.returncode, expected in result.stderr) == (command, 75, True), (
            result.stderr
        )
        assert "try again" in result.stderr
        assert "daemon's user" not in result.stderr


def test_who_reads_only_keeps_nobody_out_and_is_not_named(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        with locked(path, "BEGIN; SELECT * FROM t"):
            assert holder(path) == "another program"
        with locked(path, WRITER) as other:
            assert holder(path).startswith(f"process {other.pid} (")

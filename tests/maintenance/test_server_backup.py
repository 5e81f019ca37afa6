"""Backups of a database on a server, and what is there after a restore."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from homes import MadeHome
from postgres import PASSWORD, TestServer

from daemon.database import dumps
from daemon.database.connection import opened
from daemon.database.upgrade import head, migrate, revision_of, upgrade
from daemon.home.address import Server
from daemon.home.settings import Settings
from daemon.maintenance.backup import Backups, back_up, backups_in
from daemon.maintenance.check import Check
from daemon.maintenance.restore import restore
from learner.errors import PassingError, VidwatchError

KINDS_OF_DATABASE = ("postgresql",)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> MadeHome:
    return MadeHome(tmp_path / "home")


def filed(home: MadeHome, name: str, class_name: str = "Biking") -> int:
    """A video that arrived and was filed."""
    video = home.arrive(name)
    home.predict_and_file(home.model_prediction(class_name))
    return video


def findings(home: MadeHome) -> list[str]:
    check = Check(home.home, quick=False, may_repair=False, progress=lambda done, total: None)
    return [str(finding) for finding in check.findings() if not finding.harmless]


def server_of(home: MadeHome) -> Server:
    assert isinstance(home.home.database, Server)
    return home.home.database


@pytest.mark.slow
def test_a_backup_is_made_and_restored(home: MadeHome) -> None:
    first = filed(home, "first.mp4", "Biking")
    home.give_label(first, "Biking")
    made = back_up(home.home.database, home.home.backups, NOW)
    assert made.name == "vidwatch-20260102T030405Z.dump"
    assert [path.name for path in home.home.backups.iterdir()] == [made.name]
    later = filed(home, "later.mp4", "Skiing")
    home.give_label(later, "Skiing")
    home.engine.dispose()
    done = restore(home.home, None, NOW)
    assert (done.source, done.videos, done.labels) == (made, 1, 1)
    assert done.put_back == 1
    assert isinstance(done.kept, Server)
    assert done.kept.schema == "replaced_20260102t030405z"
    assert [path.name for path in home.inbox.iterdir()] == ["later.mp4"]
    with opened(done.kept, read_only=True) as engine, engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM videos").scalar() == 2
    upgrade(home.home.database)  # a daemon may start
    assert findings(home) == []
    # What notes happenings came back, too.
    moved = "UPDATE videos SET path = 'x', destination = NULL"
    with opened(home.home.database) as engine:
        with engine.execution_options(writes=True).begin() as connection:
            connection.exec_driver_sql("UPDATE videos SET moving_to = 'y'")
            connection.exec_driver_sql(moved)
        with engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT max(id) FROM happenings").scalar()


@pytest.mark.slow
def test_a_new_database_may_be_begun(home: MadeHome) -> None:
    filed(home, "first.mp4", "Biking")
    home.engine.dispose()
    done = restore(home.home, None, NOW, new=True)
    assert (done.videos, done.put_back) == (0, 1)
    assert revision_of(home.home.database) == head()
    assert "schema replaced_20260102t030405z" in str(done.kept)


@pytest.mark.slow
def test_a_restore_that_was_ended_is_begun_again(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(home, "first.mp4", "Biking")
    back_up(home.home.database, home.home.backups, NOW)
    home.engine.dispose()
    with monkeypatch.context() as patch:
        patch.setattr("daemon.maintenance.restore._reconcile", lambda *_: sys.exit(1))
        with pytest.raises(SystemExit):
            restore(home.home, None, NOW)
    with pytest.raises(VidwatchError, match="a restore was not completed; give the same"):
        upgrade(home.home.database)
    done = restore(home.home, None, NOW + timedelta(hours=1))
    assert isinstance(done.kept, Server)
    assert done.kept.schema == "replaced_20260102t030405z"  # the content of before the first try
    assert (done.videos, done.put_back) == (1, 0)
    upgrade(home.home.database)


@pytest.mark.slow
def test_a_restore_that_fails_leaves_all_as_it_was(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(home, "first.mp4", "Biking")
    made = back_up(home.home.database, home.home.backups, NOW)
    home.engine.dispose()

    def fail(*_: object) -> None:
        raise PassingError("no room")

    monkeypatch.setattr(dumps, "put_back", fail)
    with pytest.raises(PassingError, match="no room"):
        restore(home.home, made, NOW)
    upgrade(home.home.database)
    assert findings(home) == []


def test_a_server_in_use_is_not_replaced(home: MadeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(home.home.database, home.home.backups, NOW)
    pid = os.getpid() + 1  # another process
    monkeypatch.setattr(os, "getpid", lambda: pid)
    with opened(home.home.database) as engine, engine.begin():
        monkeypatch.undo()
        with pytest.raises(PassingError, match=rf"vidwatch {pid} at 127.0.0.1.* use"):
            restore(home.home, None, NOW)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"SQLite format 3\0", "is no copy of a database on a server"),
        (b"PGDMP\x01\x0e\x00\x04\x08\x01\x01", "is damaged"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_backup_is_refused(
    home: MadeHome, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    file = tmp_path / "vidwatch-20260102T030405Z.dump"
    if content is not None:
        file.write_bytes(content)
    home.home.backups.mkdir(exist_ok=True)
    with pytest.raises(VidwatchError, match=problem):
        restore(home.home, file, NOW)
    upgrade(home.home.database)


@pytest.mark.slow
def test_a_backup_that_was_cut_short_is_left_out(home: MadeHome) -> None:
    for number in range(50):
        filed(home, f"{number}.mp4", "Biking")
    older = back_up(home.home.database, home.home.backups, NOW)
    newer = back_up(home.home.database, home.home.backups, NOW + timedelta(hours=1))
    os.truncate(newer, newer.stat().st_size - 2000)
    assert any("is damaged" in finding for finding in findings(home))
    home.engine.dispose()
    assert restore(home.home, None, NOW).source == older


def test_a_dump_of_another_program_is_refused(
    home: MadeHome, postgres: TestServer, tmp_path: Path
) -> None:
    other = postgres.new_database()
    postgres.execute(other, "CREATE TABLE videos (id int)")
    dump = tmp_path / "other.dump"
    command = [dumps._newest("pg_dump"), "-Fc", f"--file={dump}"]
    address = f"--dbname=postgresql://vidwatch@127.0.0.1:{postgres.port}/{other}"
    subprocess.run([*command, address], env={"PGPASSWORD": PASSWORD}, check=True)
    with pytest.raises(VidwatchError, match="is no database of vidwatch, but of another"):
        restore(home.home, dump, NOW)


def test_the_daemon_makes_them(home: MadeHome) -> None:
    (home.home.backups).mkdir()
    (home.home.backups / "vidwatch-20260102T030405Z.db").write_text("of SQLite, before")
    notes: list[str | None] = []
    backups = Backups(home.home, Settings(backup_hours=1, backups_kept=2), notes.append)
    for hour in range(3):
        backups.tend(NOW + timedelta(hours=hour))
    assert notes == [None] * 3
    names = [path.name for path in backups_in(home.home.backups, NOW + timedelta(hours=3))]
    assert names == ["vidwatch-20260102T050405Z.dump", "vidwatch-20260102T040405Z.dump"]


def test_a_missing_program_is_named(home: MadeHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(dumps, "DEBIAN", Path("/nowhere"))
    dumps._newest.cache_clear()
    try:
        with pytest.raises(VidwatchError, match=r"pg_dump is missing: install .*postgresql-client"):
            back_up(home.home.database, home.home.backups, NOW)
    finally:
        dumps._newest.cache_clear()
    assert list(home.home.backups.iterdir()) == []


def test_a_program_older_than_the_server_is_named(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said = "pg_dump: error: aborting because of server version mismatch"
    old = tmp_path / "pg_dump"
    lines = [f"echo '{said}' >&2", "echo 'server version: 17.2; pg_dump version: 15.1' >&2"]
    old.write_text("\n".join(["#!/bin/sh", *lines, "exit 1\n"]))
    old.chmod(0o755)
    monkeypatch.setattr(dumps, "_newest", lambda name: str(old))
    with pytest.raises(VidwatchError, match=r"PostgreSQL 17\.2; install postgresql-client-17"):
        back_up(home.home.database, home.home.backups, NOW)


def test_a_backup_that_is_killed_leaves_nothing_that_counts(home: MadeHome, tmp_path: Path) -> None:
    slow = tmp_path / "pg_dump"
    slow.write_text("#!/bin/sh\nprintf 'PGDMP half'\nexec sleep 60\n")
    slow.chmod(0o755)
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from daemon.database import dumps; from daemon.home.folder import Home\n"
        "from daemon.maintenance.backup import back_up\n"
        f"dumps._newest = lambda name: {str(slow)!r}\n"
        "home = Home.at(Path(sys.argv[1])); back_up(home.database, home.backups, datetime.now(UTC))"
    )
    running = subprocess.Popen([sys.executable, "-c", code, home.root])
    deadline = time.monotonic() + 30
    while not list(home.home.backups.glob(".vidwatch-*.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    running.send_signal(signal.SIGKILL)
    running.wait()
    assert backups_in(home.home.backups, NOW) == []
    assert len(list(home.home.backups.iterdir())) == 1
    assert "sleep 60" not in subprocess.run(["ps", "-ef"], capture_output=True, text=True).stdout


def test_the_password_is_in_no_list_of_processes(
    home: MadeHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    true_run = subprocess.Popen

    def popen(command: list[str], **more: object) -> object:
        seen.append(" ".join(command))
        return true_run(command, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "Popen", popen)
    back_up(home.home.database, home.home.backups, NOW)
    assert any("pg_dump" in line for line in seen)
    assert not any(PASSWORD in line for line in seen)


@pytest.mark.slow
def test_an_older_database_is_copied_before_it_is_upgraded(
    home: MadeHome, postgres: TestServer
) -> None:
    server = server_of(home)
    name = postgres.new_database()
    old = replace(server, url=postgres.url(name, None))
    migrate(old, "0019")
    upgrade(old)
    assert revision_of(old) == head()
    assert dumps.revision_in(home.root / "vidwatch.before-0019.dump", "public") == "0019"

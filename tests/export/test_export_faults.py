"""Exports that meet a database in use, a full disk, a person in a hurry, or a wrong place."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from exported import VIDWATCH, FullHome, run, table
from exported import home as home

from daemon.database.connection import connect
from daemon.database.upgrade import migrate
from daemon.export.filters import Filters
from daemon.export.rows import find_videos
from learner.errors import VidwatchError

FORMATS = ["csv", "jsonl", "parquet", "sqlite"]
SLOW = pytest.mark.slow
MANY = """
WITH RECURSIVE count(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM count WHERE i < 60000)
INSERT INTO videos (id, name, path, inode, size, mtime_ns, state, arrived_at, finished_at)
SELECT i, 'c' || i || '.mp4', CAST('/inbox/' || i AS {bytes}), i, 1, 1, 'failed',
  '2026-01-02 00:00:00.000000', '2026-01-02 00:00:00.000000' FROM count
"""


@pytest.fixture
def many(home: FullHome) -> FullHome:
    """A home whose export takes a while."""
    with home.writing() as connection:
        is_file = isinstance(home.home.database, Path)
        connection.exec_driver_sql(MANY.format(bytes="BLOB" if is_file else "bytea"))
    return home


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name != "home"]


def is_being_read(home: FullHome) -> bool:
    """Whether somebody else has a transaction open, so that old rows have to be kept for it."""
    if isinstance(home.home.database, Path):
        with closing(sqlite3.connect(home.home.database)) as database:
            busy, *_ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(busy)
    query = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()
        AND xact_start IS NOT NULL"""
    with home.engine.begin() as connection:
        return bool(connection.exec_driver_sql(query).scalar())


@pytest.mark.slow
def test_the_export_is_the_state_of_one_instant_and_does_not_hold_writers_up(
    many: FullHome, tmp_path: Path
) -> None:
    with many.engine.begin() as reading:
        rows = find_videos(reading, Filters())
        first = next(rows)
        began = time.monotonic()
        with many.writing() as connection:
            changes = "UPDATE videos SET camera = 'later', state = 'failed' WHERE id > 55000"
            connection.exec_driver_sql(changes)
        assert time.monotonic() - began < 5
        rest = [row for batch in rows for row in batch]
    assert len(first) + len(rest) == 60000 - 99 + len(many.ids)
    assert {row.camera for row in rest} == {None}


@pytest.mark.slow
def test_a_daemon_that_writes_meanwhile_is_not_disturbed(many: FullHome, tmp_path: Path) -> None:
    is_over = threading.Event()
    slowest = 0.0
    n = 0

    def write() -> None:
        nonlocal slowest, n
        engine = connect(many.home.database)
        while not is_over.is_set():
            began = time.monotonic()
            with engine.execution_options(writes=True).begin() as connection:
                connection.exec_driver_sql(f"UPDATE videos SET camera = '{n}'  WHERE id = 1")
                connection.exec_driver_sql(f"UPDATE videos SET camera = '{n}'  WHERE id = 60000")
            slowest = max(slowest, time.monotonic() - began)
            n += 1
        engine.dispose()

    thread = threading.Thread(target=write)
    thread.start()
    while not n:
        time.sleep(0.01)
    for form in FORMATS:
        many.export(tmp_path / f"a.{form}", form)
    is_over.set()
    thread.join()
    rows = table(tmp_path / "a.csv")
    assert rows[0]["camera"] == rows[-1]["camera"] != ""
    assert n > 10
    assert slowest < 5


@pytest.mark.slow
def test_nothing_waits_for_a_pipe_while_the_database_is_read(many: FullHome) -> None:
    command = [VIDWATCH, "--home", many.root, "export"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(8)
        # Nobody reads on. What the database keeps for readers can be removed all the same.
        assert not is_being_read(many)
        process.stdout.close()
        assert process.wait() == 0


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(many: FullHome) -> None:
    command = f"{VIDWATCH} --home {many.root} export | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("\ufeffid,name")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["csv", *(pytest.param(form, marks=SLOW) for form in FORMATS[1:])])
def test_a_full_disk_leaves_the_old_file_as_it_was(
    many: FullHome, tmp_path: Path, form: str
) -> None:
    target = tmp_path / f"a.{form}"
    target.write_text("the old one")
    limited = 'ulimit -f 200; exec "$@"'
    command = ["sh", "-c", limited, "sh", VIDWATCH, "--home", many.root, "export", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.count("\n") == 1
    assert str(target) in done.stderr
    assert "nothing was exported" in done.stderr
    assert target.read_text() == "the old one"
    assert leftovers(tmp_path) == [target.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "sign"),
    [
        ("csv", signal.SIGINT),
        pytest.param("jsonl", signal.SIGTERM, marks=SLOW),
        pytest.param("parquet", signal.SIGINT, marks=SLOW),
        pytest.param("sqlite", signal.SIGTERM, marks=SLOW),
        pytest.param("camtrap", signal.SIGINT, marks=SLOW),
    ],
)
def test_who_ends_it_midway_finds_nothing_half_done(
    many: FullHome, tmp_path: Path, form: str, sign: signal.Signals
) -> None:
    with many.writing() as connection:
        connection.exec_driver_sql("UPDATE videos SET state = 'filed', recorded_at = arrived_at")
    metadata = tmp_path / "home" / "places.toml"
    metadata.write_text(
        "".join(
            f"[deployment.{name}]\nlatitude = 1\nlongitude = 2\n"
            for name in ("inbox", "cam1", "cam2", "cam10")
        )
    )
    target = tmp_path / f"a.{form}"
    # A shell starts what runs in the background with SIGINT ignored.
    command = ["env", "--default-signal=INT", VIDWATCH, "--home", many.root]
    command += ["export", target, "--format", form]
    command += ["--metadata", metadata] if form == "camtrap" else []
    for _ in range(10):  # on a busy machine, it may be done before the signal comes
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            while not leftovers(tmp_path) and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(sign)
            process.wait()
            assert process.stderr is not None
            assert "Traceback" not in process.stderr.read()
        if process.returncode:
            break
        (shutil.rmtree if target.is_dir() else Path.unlink)(target)
    assert process.returncode == 128 + sign
    assert leftovers(tmp_path) == []


def inodes(home: FullHome) -> list[int]:
    """That of the database, if it is a file."""
    return [path.stat().st_ino for path in home.root.glob("vidwatch.db")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("missing/a.csv", "there is no folder"),
        ("home/vidwatch.db", "vidwatch keeps its own files there"),
        ("home/inbox/a.csv", "vidwatch keeps its own files there"),
        ("home", "vidwatch keeps its own files there"),
        ("home/trash/a.csv", "vidwatch keeps its own files there"),
        ("home/logs", "vidwatch keeps its own files there"),
        ("share/a.csv", "vidwatch keeps its own files there"),
        ("barn/day/a.csv", "is a source of videos"),
        ("pipe.csv", "neither a file nor a folder"),
    ],
)
def test_a_wrong_place_is_refused(home: FullHome, tmp_path: Path, where: str, says: str) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("home/trash", "home/logs", "barn/day"):
        (tmp_path / name).mkdir(parents=True)
    home.home.inbox.rename(tmp_path / "share")
    home.home.inbox.symlink_to(tmp_path / "share")
    source = f'[[source]]\nname = "barn"\nfolder = "{tmp_path / "barn"}"\n'
    home.write_settings(source)
    before = inodes(home)
    line = run(home, "export", tmp_path / where, "--format", "sqlite", code=2).stderr
    assert line.count("\n") == 1
    assert says in line
    assert inodes(home) == before
    home.rows()


@pytest.mark.slow
def test_a_folder_without_rights_is_one_line(home: FullHome, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc")
    else:
        folder = tmp_path / "closed"
        folder.mkdir(mode=0o500)
    with pytest.raises(VidwatchError, match="cannot be written"):
        home.export(folder / "a.csv")


def test_a_link_stays_a_link(home: FullHome, tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    home.export(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(table(tmp_path / "real.csv")) == len(home.ids)


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_an_older_database_is_brought_up_to_date_first(tmp_path: Path) -> None:
    root = tmp_path / "old"
    subprocess.run([VIDWATCH, "init", root], check=True, capture_output=True)
    (root / "vidwatch.db").unlink()
    migrate(root / "vidwatch.db", "0010")
    done = subprocess.run([VIDWATCH, "--home", root, "export"], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr == "there is no video yet\n"


@pytest.mark.slow
def test_a_newer_database_is_refused(home: FullHome, tmp_path: Path) -> None:
    with home.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    line = run(home, "export", tmp_path / "a.csv", code=2).stderr
    assert "a newer vidwatch wrote it (schema 9999)" in line
    assert leftovers(tmp_path) == []


@pytest.mark.of_sqlite
def test_a_locked_database_is_named(home: FullHome, tmp_path: Path) -> None:
    home.engine.dispose()
    with closing(sqlite3.connect(home.home.database)) as holder:
        holder.execute("PRAGMA locking_mode = EXCLUSIVE")
        holder.execute("BEGIN EXCLUSIVE")
        home.engine = connect(home.home.database, patience=0.1)
        with pytest.raises(Exception, match="locked"):
            home.export(tmp_path / "a.csv")
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_without_pyarrow_one_line_names_what_to_install(home: FullHome, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError")
    code = "import sys; from daemon.cli.app import main; sys.argv[0] = 'vidwatch'; main()"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", home.root, "export", tmp_path / "a.parquet"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.returncode == 2
    assert done.stderr.endswith("pip install 'vidwatch[export]'\n")
    assert done.stderr.count("\n") == 1

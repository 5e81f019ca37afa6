"""`vidwatch backfill` on this machine: the daemon's rows, whenever it is stopped."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from backfilled import SETTINGS, command, make_home, rows, write_archive, write_noise
from installed import VIDWATCH

from daemon.home.folder import Home


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "archive", 6)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


@pytest.mark.slow
def test_it_records_what_the_daemon_records_and_passes_over_what_is_done(
    tmp_path: Path, archive: Path, home: Home
) -> None:
    other = make_home(tmp_path / "other")
    assert command(other, "add", "--in-place", archive).returncode == 0
    assert command(other, "run", "--once").returncode == 0
    done = command(home, "backfill", archive)
    assert "7 videos classified, 1 duplicate, 1 failed" in done.stdout, done.stderr
    assert "left alone, as they are no videos: 1 .txt" in done.stdout
    found = rows(home.database)
    assert found == rows(other.database)
    assert len(found[bytes(archive / "long.avi")][2]) == 4
    again = command(home, "backfill", archive)
    assert "0 videos classified, 1 failed; 8 were known" in again.stdout
    assert rows(home.database) == found


@pytest.mark.slow
def test_what_waits_in_the_queue_is_taken_over_and_nothing_else(archive: Path, home: Home) -> None:
    assert command(home, "add", "--in-place", archive / "cam0").returncode == 0
    write_noise(home.inbox / "own.avi", 30)
    done = command(home, "backfill", archive / "cam0")
    assert "3 videos classified" in done.stdout, done.stderr
    assert len(rows(home.database)) == 3
    assert (home.inbox / "own.avi").exists()


def _wait_for_a_prediction(home: Home) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        deadline = time.monotonic() + 120
        while not database.execute("SELECT count(*) FROM predictions").fetchone()[0]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.slow
def test_after_a_kill_it_goes_on_and_each_file_is_done_once(tmp_path: Path, home: Home) -> None:
    archive = tmp_path / "many"
    for seed in range(40):
        write_noise(archive / f"v{seed:03}.avi", seed, frames=6 + seed)
    words = [VIDWATCH, "--home", str(home.root), "backfill", str(archive)]
    process = subprocess.Popen(words, env={**os.environ, **SETTINGS})
    _wait_for_a_prediction(home)
    process.send_signal(signal.SIGKILL)
    process.wait()
    n_before = sum(len(one[1]) for one in rows(home.database).values())
    done = command(home, "backfill", archive)
    assert done.returncode == 0, done.stderr
    found = rows(home.database)
    assert 0 < n_before
    assert len(found) == 40
    assert {one[0]["state"] for one in found.values()} == {"filed"}
    assert all(len(one[1]) == (one[0]["duplicate_of"] is None) for one in found.values())


@pytest.mark.slow
def test_after_a_stop_the_exit_status_says_that_not_all_is_done(tmp_path: Path, home: Home) -> None:
    archive = tmp_path / "many"
    for seed in range(40):
        write_noise(archive / f"v{seed:03}.avi", seed, frames=6 + seed)
    words = [VIDWATCH, "--home", str(home.root), "backfill", str(archive)]
    process = subprocess.Popen(
        words, env={**os.environ, **SETTINGS}, stdout=subprocess.PIPE, text=True
    )
    _wait_for_a_prediction(home)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert "stopped before all was done: the same command goes on" in output
    assert process.returncode == os.EX_TEMPFAIL
    assert {one[0]["state"] for one in rows(home.database).values()} <= {"filed", "queued"}


@pytest.mark.slow
def test_an_archive_that_a_daemon_classifies_at_the_same_time_is_done_once(
    tmp_path: Path, home: Home
) -> None:
    archive = tmp_path / "many"
    for seed in range(20):
        write_noise(archive / f"v{seed:03}.avi", seed, frames=6 + seed)
    (archive / os.fsdecode(b"\xff.avi")).write_bytes((archive / "v000.avi").read_bytes())
    assert command(home, "add", "--in-place", archive).returncode == 0
    words = [VIDWATCH, "--home", str(home.root), "run", "--once"]
    daemon = subprocess.Popen(words, env={**os.environ, **SETTINGS})
    done = command(home, "backfill", archive)
    assert (done.returncode, daemon.wait()) == (0, 0), done.stderr
    found = rows(home.database)
    assert len(found) == 21
    assert {one[0]["state"] for one in found.values()} == {"filed"}
    assert all(len(one[1]) == (one[0]["duplicate_of"] is None) for one in found.values())


@pytest.mark.slow
def test_parts_hold_each_video_once_and_a_second_run_adds_what_is_new(
    tmp_path: Path, archive: Path, home: Home
) -> None:
    out = tmp_path / "out"
    done = command(home, "backfill", archive, "--out", out)
    assert "7 videos classified" in done.stdout, done.stderr
    assert rows(home.database) == {}
    first = pd.read_parquet(out / "videos-000001.parquet")
    assert len(first) == 9
    assert first.set_index("name")["error"]["broken.mp4"].startswith("not a video")
    assert len(pd.read_parquet(out / "windows-000001.parquet")) == 4
    write_noise(archive / "new.avi", 77, frames=50)
    assert command(home, "backfill", archive, "--out", out).returncode == 0
    assert list(pd.read_parquet(out / "videos-000002.parquet")["name"]) == ["new.avi"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/nowhere"], "/nowhere: there is no such file or folder"),
        (["s3://bucket/a"], "give --out FOLDER for Parquet files"),
        (["s3://bucket/a", "--out", "out"], "read by --engine ray alone"),
        (["s3://bucket/a", "/tmp", "--out", "out"], "not both"),
    ],
)
def test_what_does_not_go_together_is_one_line(home: Home, words: list[str], message: str) -> None:
    done = command(home, "backfill", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_without_ray_one_line_names_what_to_install(
    tmp_path: Path, archive: Path, home: Home
) -> None:
    (tmp_path / "ray.py").write_text("raise ImportError('no ray here')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = command(home, "backfill", archive, "--engine", "ray", environment={"PYTHONPATH": path})
    assert done.returncode == 2
    assert "pip install 'vidwatch[cluster]'" in done.stderr
    assert "Traceback" not in done.stderr

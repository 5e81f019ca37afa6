"""`vidwatch backfill --engine ray`: the same rows, and nothing lost or doubled, whatever dies."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import FrameType

import numpy as np
import pandas as pd
import pytest
from backfilled import SETTINGS, command, logits, make_home, rows, write_archive, write_noise
from backfilled import store as store
from installed import VIDWATCH
from tiny import class_folders, untrained

from daemon.backfill.cluster import cluster
from daemon.backfill.features import fill_by_cluster
from daemon.classify.filing import StoppedError
from daemon.home.folder import Home
from daemon.home.settings import Settings
from learner.cache import Cache
from learner.dataset import extract, find_clips
from learner.shelves import features_shelf

pytest.importorskip("ray", reason="needs ray: pip install 'vidwatch[cluster]'")
pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


def write_many(folder: Path, count: int) -> Path:
    for seed in range(count):
        write_noise(folder / f"v{seed:03}.avi", seed, frames=6 + seed)
    return folder


def wait_for_predictions(home: Home, count: int) -> None:
    with closing(sqlite3.connect(home.database)) as database:
        deadline = time.monotonic() + 280
        while database.execute("SELECT count(*) FROM predictions").fetchone()[0] < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def require_each_once(home: Home, count: int) -> None:
    found = rows(home.database)
    assert len(found) == count
    assert {one[0]["state"] for one in found.values()} == {"filed"}
    assert all(len(one[1]) == (one[0]["duplicate_of"] is None) for one in found.values())


def test_its_rows_are_those_of_one_machine_to_the_last_bit(tmp_path: Path, home: Home) -> None:
    archive = write_archive(tmp_path / "archive", 12)
    other = make_home(tmp_path / "other")
    assert command(other, "backfill", archive).returncode == 0
    done = command(home, "backfill", archive, "--engine", "ray")
    assert "13 videos classified, 1 duplicate, 1 failed" in done.stdout, done.stderr
    expected = rows(other.database)
    found = rows(home.database)
    assert np.array_equal(logits(found), logits(expected))
    # Of two files with one content, either may come first.
    same = [bytes(archive / "copy.avi"), bytes(archive / "cam0/v000.avi")]
    for path in same:
        found.pop(path)
        expected.pop(path)
    assert found == expected


def test_after_a_kill_of_the_command_each_file_is_done_once(tmp_path: Path, home: Home) -> None:
    archive = write_many(tmp_path / "many", 60)
    words = [str(VIDWATCH), "--home", str(home.root), "backfill", str(archive), "--engine", "ray"]
    process = subprocess.Popen(words, env={**os.environ, **SETTINGS})
    wait_for_predictions(home, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {one[0]["state"] for one in rows(home.database).values()} <= {"filed", "claimed"}
    done = command(home, "backfill", archive, "--engine", "ray")
    assert done.returncode == 0, done.stderr
    require_each_once(home, 60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0, 5])
def test_a_signal_ends_it_within_seconds_and_it_says_what_was_done(
    tmp_path: Path, home: Home, number: signal.Signals, seconds: int
) -> None:
    """While Ray starts, and while results are waited for."""
    archive = write_many(tmp_path / "many", 200)
    words = [str(VIDWATCH), "--home", str(home.root), "backfill", str(archive), "--engine", "ray"]
    process = subprocess.Popen(
        words, env={**os.environ, **SETTINGS}, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 280
    while not (home.root / ".backfill.lock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(seconds)
    process.send_signal(number)
    asked = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - asked < 15
    assert "videos classified" in output
    assert "stopped before all was done: the same command goes on" in output
    assert process.returncode == os.EX_TEMPFAIL


def test_a_signal_that_ray_handles_while_it_starts_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray's handler gets it; a backfill that does not know of it would say that all is done."""
    import ray

    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    def exit_at_signal(number: int, frame: FrameType | None) -> None:
        sys.exit(number)

    def start(**how: object) -> None:
        signal.signal(signal.SIGTERM, exit_at_signal)  # as Ray does
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", start)
    before = signal.signal(signal.SIGTERM, note)
    try:
        with pytest.raises(StoppedError), cluster():
            pytest.fail("it has not started")
        assert signal.getsignal(signal.SIGTERM) is note
    finally:
        signal.signal(signal.SIGTERM, before)
    assert noted == [signal.SIGTERM]


@pytest.fixture
def two_nodes() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, TESTS / "two_nodes.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    assert process.stdin
    process.stdin.close()
    process.wait(60)


def test_a_machine_that_dies_in_the_middle_costs_no_file(
    tmp_path: Path, home: Home, two_nodes: "subprocess.Popen[str]"
) -> None:
    assert two_nodes.stdout
    assert two_nodes.stdin
    address = two_nodes.stdout.readline().strip()
    archive = write_many(tmp_path / "many", 120)
    words = [str(VIDWATCH), "--home", str(home.root), "backfill", str(archive), "--engine", "ray"]
    environment = {**os.environ, **SETTINGS, "RAY_ADDRESS": address}
    environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    wait_for_predictions(home, 5)
    two_nodes.stdin.write("\n")
    two_nodes.stdin.flush()
    assert two_nodes.stdout.readline() == "killed\n"
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    require_each_once(home, 120)


def test_features_of_a_training_are_the_same_to_the_last_bit(tmp_path: Path, home: Home) -> None:
    folders = class_folders(tmp_path / "clips", groups=3)
    clips = find_clips(folders)
    model = untrained(tmp_path)
    here = Cache(root=tmp_path / "here")
    expected = extract(clips, model, here)
    there = Cache(root=tmp_path / "there")
    fill_by_cluster(Settings())(clips, model, there, lambda done, of: None)
    shelf = features_shelf(model, there)
    for clip, values in zip(expected.clips, expected.values, strict=True):
        found = shelf.get(clip.sha256)
        assert found is not None
        assert np.array_equal(found, values)


def test_objects_of_a_store_are_classified_into_parts(
    tmp_path: Path, home: Home, store: dict[str, str]
) -> None:
    import s3fs

    archive = write_archive(tmp_path / "archive", 4)
    other = make_home(tmp_path / "other")
    assert command(other, "backfill", archive).returncode == 0
    bucket = s3fs.S3FileSystem(
        key="test", secret="test", client_kwargs={"endpoint_url": store["AWS_ENDPOINT_URL"]}
    )
    bucket.mkdir("clips")
    bucket.put(str(archive), "clips/2019", recursive=True)
    out = tmp_path / "out"
    words = ("backfill", "s3://clips/2019", "--engine", "ray", "--out", out)
    done = command(home, *words, environment=store)
    assert "5 videos classified, 1 duplicate, 1 failed" in done.stdout, done.stderr
    table = pd.read_parquet(out / "videos-000001.parquet").set_index("path")
    assert table["uri"]["s3://clips/2019/long.avi"] == "s3://clips/2019/long.avi"
    assert table["error"]["s3://clips/2019/broken.mp4"].startswith("not a video")
    expected = rows(other.database)
    for path, (_, own, _) in expected.items():
        name = os.fsdecode(path).removeprefix(str(archive))
        if own and "copy" not in name and "v000" not in name:
            (found,) = own
            row = table.loc[f"s3://clips/2019{name}"]
            assert [row["score_bright"], row["score_dark"]] == found["logits"]


def test_a_store_that_refuses_or_is_away_is_one_line(
    tmp_path: Path, home: Home, store: dict[str, str]
) -> None:
    out = tmp_path / "out"
    words = ("backfill", "s3://nothing/2019", "--engine", "ray", "--out", out)
    done = command(home, *words, environment=store)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "there is no such object, folder or bucket" in done.stderr
    away = {**store, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    done = command(home, *words, environment=away)
    assert (done.returncode, done.stderr.count("\n")) == (75, 1), done.stderr
    assert "the store cannot be read" in done.stderr

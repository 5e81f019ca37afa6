"""The installed command as a process of its own, on real files."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from deep import nested
from installed import SLOWEST, Daemon, drop
from installed import daemon as daemon

from learner.catalogue import STARTER, starter_classes
from learner.checkpoint import load, save


@pytest.mark.slow
def test_once_does_all_that_is_there_and_succeeds_even_if_files_fail(daemon: Daemon) -> None:
    drop(daemon.inbox / "cam1", "001.avi", 1)
    drop(daemon.inbox / "cam2", "001.avi", 2)
    shutil.copy(drop(daemon.inbox, "new\nline", 3), daemon.inbox / "copy.avi")
    (daemon.inbox / "text.mp4").write_text("no video")
    (daemon.inbox / "a.mp4.part").write_bytes(b"half")
    done = daemon.command("run", "--once")
    assert (done.returncode, done.stdout) == (0, "")
    assert daemon.names("inbox") == ["a.mp4.part"]
    assert len(daemon.names("classified")) == 3
    assert len(daemon.names("duplicates")) == 1
    assert daemon.names("failed") == ["text.mp4", "text.mp4.txt"]
    assert daemon.query("SELECT count(*), count(DISTINCT video_id) FROM predictions") == [(3, 3)]
    assert daemon.query(
        "SELECT DISTINCT n FROM (SELECT count(*) AS n FROM prediction_logits GROUP BY video_id) AS counts"
    ) == [(10,)]
    status = daemon.status()
    assert {key: status[key] for key in ("queued", "claimed", "classified", "filed", "failed")} == {
        "queued": 0,
        "claimed": 0,
        "classified": 0,
        "filed": 4,
        "failed": 1,
    }
    assert not status["daemon"]["running"]


def test_a_running_daemon_files_new_videos_and_stops_when_asked(daemon: Daemon) -> None:
    daemon.start()
    status = daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    assert daemon.process
    assert (status["daemon"]["running"], status["daemon"]["pid"]) == (True, daemon.process.pid)
    drop(daemon.inbox, "a.avi", 1)
    content = drop(daemon.inbox.parent, "b.avi", 2).read_bytes()
    with (daemon.inbox / "slow.avi").open("wb") as file:
        for first in range(0, len(content), len(content) // 4):
            file.write(content[first : first + len(content) // 4])
            file.flush()
            time.sleep(0.7)
    daemon.wait_for(lambda status: status["filed"] == 2)
    assert daemon.query("SELECT state, error FROM videos") == [("filed", None)] * 2

    second = daemon.command("run")
    assert second.returncode == os.EX_TEMPFAIL
    assert f"process {daemon.process.pid}" in second.stderr
    assert second.stderr.count("\n") == 1

    decoders = psutil.Process(daemon.process.pid).children()
    began = time.monotonic()
    code, log = daemon.end(signal.SIGTERM)
    assert (code, "Traceback" in log) == (0, False)
    assert time.monotonic() - began < 20
    assert psutil.wait_procs(decoders, timeout=60)[1] == []
    assert not daemon.status()["daemon"]["running"]


@pytest.mark.slow
def test_ctrl_c_with_work_in_hand_leaves_the_rest_queued(daemon: Daemon) -> None:
    for number in range(30):
        drop(daemon.inbox, f"{number}.avi", number)
    daemon.start()
    daemon.wait_for(lambda status: status["filed"] > 0)
    assert daemon.process
    os.killpg(daemon.process.pid, signal.SIGINT)  # as a terminal does: to the decoders as well
    _, log = daemon.process.communicate(timeout=SLOWEST)
    assert (daemon.process.returncode, "Traceback" in log) == (0, False)
    status = daemon.status()
    assert status["claimed"] == 0
    assert status["failed"] == 0
    assert status["queued"] + status["filed"] == 30
    assert daemon.query("SELECT count(*) FROM predictions") == [(status["filed"],)]


@pytest.mark.slow
def test_a_file_without_read_permission_fails_and_the_next_is_filed(daemon: Daemon) -> None:
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read every file; needs setpriv to give that up")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    drop(daemon.inbox, "a.avi", 1).chmod(0)
    drop(daemon.inbox, "b.avi", 2)
    assert daemon.command("run", "--once", prefix=prefix).returncode == 0
    assert daemon.query("SELECT name, state FROM videos ORDER BY name") == [
        ("a.avi", "failed"),
        ("b.avi", "filed"),
    ]
    assert daemon.names("failed") == ["a.avi", "a.avi.txt"]
    assert "Permission denied" in (daemon.root / "failed/a.avi.txt").read_text()


@pytest.mark.slow
def test_real_clips_get_the_right_classes(daemon: Daemon, real_clips: Path) -> None:
    clips = sorted((real_clips / "ucf10-original").glob("*/*.avi"))[::10]
    for clip in clips:
        shutil.copy(clip, daemon.inbox)
    assert daemon.command("run", "--once").returncode == 0
    found = daemon.query(
        'SELECT name, "class" FROM videos JOIN predictions ON video_id = videos.id ORDER BY name'
    )
    assert found == [(clip.name, clip.parent.name) for clip in clips]
    groups = daemon.query('SELECT "group" FROM videos ORDER BY name')
    assert groups == [(clip.name.rpartition("_c")[0],) for clip in clips]


@pytest.mark.slow
def test_another_model_takes_over_between_two_batches_and_each_clip_has_one_prediction(
    daemon: Daemon,
) -> None:
    starter = load(STARTER)
    other = {**starter.tensors, "head.linear.bias": starter.tensors["head.linear.bias"] + 0.5}
    save(daemon.root / "models/mine", starter.manifest, other)
    for number in range(20):
        drop(daemon.inbox, f"{number}.avi", number)
    daemon.start()
    daemon.wait_for(lambda status: status["filed"] > 1)
    assert daemon.command("models", "promote", "mine").returncode == 0
    for number in range(20, 24):
        drop(daemon.inbox, f"{number}.avi", number)
    status = daemon.wait_for(lambda status: status["filed"] == 24)
    assert status["model"] == "mine"
    assert daemon.end(signal.SIGTERM)[0] == 0
    assert daemon.query("SELECT count(*), count(DISTINCT video_id) FROM predictions") == [(24, 24)]
    by_model = dict(
        daemon.query(
            "SELECT m.name, count(*) FROM predictions p JOIN models m ON m.id = model_id GROUP BY 1"
        )
    )
    assert by_model.keys() == {"starter", "mine"}
    assert daemon.query("SELECT DISTINCT attempts, state FROM videos") == [(0, "filed")]


@pytest.mark.slow
def test_labels_given_by_moving_files_while_the_daemon_is_down_are_noticed_at_its_start(
    daemon: Daemon,
) -> None:
    drop(daemon.inbox, "a.avi", 1)
    drop(daemon.root / "labelled/Zebra", "b.avi", 2)
    assert daemon.command("run", "--once").returncode == 0
    (daemon.root / "classified/Lion").mkdir()
    daemon.paths()["a.avi"].rename(daemon.root / "classified/Lion/a.avi")
    assert daemon.command("run", "--once").returncode == 0
    assert daemon.query(
        'SELECT v.name, l."class", l.source FROM labels l JOIN videos v ON v.id = l.video_id'
        " ORDER BY l.id"
    ) == [
        ("b.avi", "Zebra", "folder"),
        ("a.avi", "Lion", "moved"),
    ]
    assert (daemon.root / "labelled/Lion/a.avi").exists()
    assert daemon.query("SELECT count(*) FROM predictions") == [(2,)]


@pytest.mark.slow
def test_deep_folders_of_one_writer_keep_neither_a_daemon_nor_a_check_from_its_work(
    daemon: Daemon,
) -> None:
    folders = [daemon.root / name for name in ("inbox", "classified/Biking", "labelled/Biking")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    with (
        nested(folders[0], "d", 1100),
        nested(folders[1], "d", 1100),
        nested(folders[2], "long" * 50, 30),
    ):
        drop(daemon.inbox, "a.avi", 1)
        done = daemon.command("run", "--once")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False)
        assert "nested too deep" in done.stderr
        assert daemon.query("SELECT name, state FROM videos") == [("a.avi", "filed")]
        checked = daemon.command("check")
        assert (checked.returncode, checked.stderr) == (1, "")
        assert "cannot be searched (it is nested too deep" in " ".join(checked.stdout.split())
        for command in ("doctor", "labels", "status"):
            assert "Traceback" not in daemon.command(command).stderr
        assert daemon.command("check", "--repair").returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["vidwatch.db", "vidwatch.toml", "models/mine.json"])
def test_links_that_others_put_where_it_writes_harm_nothing_and_lose_no_clip(
    daemon: Daemon, victim: str
) -> None:
    """Under the names that files had before they were whole, in versions before."""
    if victim == "vidwatch.db" and not isinstance(daemon.database, Path):
        pytest.skip("needs a database in a file")
    shm = Path("/dev/shm", f"vidwatch-links-{os.getpid()}")
    if not shm.parent.is_dir() or shm.parent.stat().st_dev == daemon.root.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    shm.mkdir()
    try:
        daemon.inbox.rmdir()
        daemon.inbox.symlink_to(shm)
        target = daemon.root / victim
        if not target.exists():
            target.write_text("a model")
        before = None if target.suffix == ".db" else target.read_bytes()
        (shm / "from").mkdir()
        (shm / "bad.avi").write_text("no video")
        dropped = {"good.avi": drop(shm / "from", "good.avi", 1)}
        dropped["bad.avi"] = shm / "bad.avi"
        (daemon.root / "failed/.bad.avi.txt.part").symlink_to(target)
        for path in dropped.values():
            part = f".vidwatch-{path.stat().st_ino}-{path.stat().st_size}.part"
            for folder in ("failed", "classified/_unsure", "classified/Biking"):
                (daemon.root / folder).mkdir(exist_ok=True)
                (daemon.root / folder / part).symlink_to(target)
        contents = {name: path.read_bytes() for name, path in dropped.items()}
        done = daemon.command("run", "--once")
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
        assert before in (None, target.read_bytes())
        filed = {name: path.read_bytes() for name, path in daemon.paths().items()}
        assert filed == contents
        assert (daemon.root / "failed/bad.avi.txt").is_file()
        assert daemon.command("check").stderr == ""
    finally:
        shutil.rmtree(shm)


@pytest.mark.slow
def test_a_class_folder_that_is_a_link_gets_no_clip_and_status_says_so(daemon: Daemon) -> None:
    elsewhere = daemon.root.parent / "elsewhere"
    elsewhere.mkdir()
    folders = [daemon.root / "classified" / name for name in (*starter_classes(), "_unsure")]
    for folder in folders:
        folder.symlink_to(elsewhere)
    drop(daemon.inbox, "a.avi", 1)
    daemon.start()
    status = daemon.wait_for(lambda status: bool(status["troubles"]))
    assert "is a link, and links are not followed" in str(status["troubles"])
    assert list(elsewhere.iterdir()) == []
    for folder in folders:
        folder.unlink()
    daemon.wait_for(lambda status: status["filed"] == 1)
    assert daemon.names("classified") == ["a.avi"]
    assert daemon.end(signal.SIGTERM)[0] == 0

"""An archive is classified where it lies, through kills of the command and of the daemon."""

import hashlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ordeal import VIDWATCH, Ordeal, write_clip
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

# For a run that takes longer: VIDWATCH_ARCHIVE_FILES=10000.
FILES = int(os.environ.get("VIDWATCH_ARCHIVE_FILES", "1000"))
COPIES = 5
BAD = 5


def make_archive(root: Path, files: int) -> None:
    """Videos in folders, some copies, some files that are no videos, some links, odd modes."""
    for number in range(files):
        folder = root / f"{number // 100:03}"
        folder.mkdir(parents=True, exist_ok=True)
        write_clip(folder / f"{number:05}.avi", number)
    for number in range(COPIES):
        (root / f"copy-{number}.avi").write_bytes((root / f"000/{number:05}.avi").read_bytes())
    for number in range(BAD):
        (root / f"bad-{number}.mp4").write_text(f"no video {number}")
    (root / "notes.txt").write_text("a text")
    (root / "link.avi").symlink_to(root / "copy-0.avi")
    (root / "000/00000.avi").chmod(0o440)
    os.utime(root / "000/00001.avi", (1, 1))


def seen(root: Path) -> dict[str, tuple[object, ...]]:
    """All that would show that a file or a folder was touched."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        info = path.lstat()
        is_file = path.is_file() and not path.is_symlink()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if is_file else ""
        numbers = (info.st_ino, info.st_mode, info.st_uid, info.st_nlink, info.st_size)
        found[str(path)] = (*numbers, info.st_mtime_ns, info.st_ctime_ns, content)
    return found


def add(ordeal: Ordeal, archive: Path) -> subprocess.Popen[bytes]:
    command = [VIDWATCH, "add", "--in-place", str(archive)]
    return subprocess.Popen(command, env=ordeal.environment, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_an_archive_survives_kills_untouched_and_each_file_has_one_row(
    ordeal: Ordeal, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    make_archive(archive, FILES)
    before = seen(archive)
    rng = random.Random(1)
    n_kills = 0
    for _ in range(5):  # the command is killed, at random times
        adding = add(ordeal, archive)
        time.sleep(rng.uniform(0.3, 1.5))
        if adding.poll() is None:
            adding.send_signal(signal.SIGKILL)
            n_kills += 1
        adding.wait()
    for _ in range(8):  # so is the daemon, while the command runs again
        ordeal.start()
        adding = add(ordeal, archive)
        ordeal.wait_for(ordeal.home.running)
        time.sleep(rng.uniform(0, 6))
        assert ordeal.process
        ordeal.process.kill()
        n_kills += 1
        assert adding.wait() == 0
        ordeal.kill()
    ordeal.drop(60_000, "inbox/new.avi")
    n_all = FILES + COPIES + BAD + 1
    ordeal.start()
    done = "SELECT count(*) FROM videos WHERE finished_at IS NOT NULL"
    first = "SELECT finished_at FROM videos WHERE name = 'new.avi' AND finished_at IS NOT NULL"
    assert ordeal.wait_for(lambda: ordeal.query(first), 120), ordeal.end_of_log()
    assert ordeal.wait_for(lambda: ordeal.query(done) == [(n_all,)], 120 + FILES), (
        ordeal.query(done),
        ordeal.end_of_log(),
    )
    ordeal.stop()
    print(f"{FILES} files, {n_kills} kills")
    assert seen(archive) == before
    paths = "SELECT count(*), count(DISTINCT path) FROM videos"
    assert ordeal.query(paths) == [(n_all, n_all)]
    states = dict(ordeal.query("SELECT state, count(*) FROM videos GROUP BY state"))
    assert states == {"filed": FILES + COPIES + 1, "failed": BAD}
    answers = "SELECT count(*), count(DISTINCT video_id) FROM predictions WHERE kind = 'answer'"
    assert ordeal.query(answers) == [(FILES + 1, FILES + 1)]
    again = ordeal.command("add", "--in-place", str(archive))
    assert f"{FILES + COPIES} were known" in again.stdout
    checked = ordeal.command("check")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("on_filed", ["copy", "hardlink"])
def test_copies_and_links_survive_kills_and_the_inbox_stays_as_it_is(
    tmp_path: Path, tiny_model: Path, on_filed: str
) -> None:
    ordeal = Ordeal(tmp_path / "home", tiny_model, on_filed=on_filed)
    for number in range(40):
        ordeal.drop(number, f"inbox/cam{number % 3}/{number // 3:03}.avi")
    before = {path: state[-1] for path, state in seen(ordeal.inbox).items()}
    steps = ["daemon.home.placing:place_second", "daemon.database.queue:Queue.moved"]
    for step in steps:
        for when in ("before", "after"):
            ordeal.start(f"{step}:{when}:2")
            ordeal.wait_for(ordeal.reached.exists, seconds=60)
            ordeal.kill()
    ordeal.start()
    filed = "SELECT count(*) FROM videos WHERE state = 'filed' AND destination IS NULL"
    assert ordeal.wait_for(lambda: ordeal.query(filed) == [(40,)]), ordeal.end_of_log()
    ordeal.stop()
    assert {path: state[-1] for path, state in seen(ordeal.inbox).items()} == before
    copies = [path for path in (ordeal.root / "classified").rglob("*") if path.is_file()]
    contents = [hashlib.sha256(path.read_bytes()).hexdigest() for path in copies]
    assert sorted(contents) == sorted(ordeal.dropped)
    rows = {Path(os.fsdecode(path)) for (path,) in ordeal.query("SELECT path FROM videos")}
    assert rows == set(copies)
    checked = ordeal.command("check")
    assert checked.returncode == 0, checked.stdout
    ordeal.close()

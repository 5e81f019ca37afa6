"""Disks that are full, read-only, away or another one; a kernel that tells nothing; names that
differ in case alone.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

KEPT = Path("/proc/sys/fs/inotify/max_queued_events")


class Disk:
    """A small file system of its own, mounted at `path`."""

    def __init__(self, path: Path, megabytes: int) -> None:
        self.path, self._size = path, f"size={megabytes}m"

    def mount(self, *options: str) -> None:
        self.path.mkdir(exist_ok=True)
        run(
            "mount",
            "-t",
            "tmpfs",
            "-o",
            ",".join((self._size, *options)),
            "vidwatch-test",
            str(self.path),
        )

    def unmount(self) -> None:
        run("umount", "-l", str(self.path))

    def fill(self, leaving: int) -> Path:
        """Take all its free space but so many bytes; gives the file that does."""
        ballast = self.path / "ballast"
        free = os.statvfs(self.path)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize - leaving, 1))
        return ballast


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path / "disk", 48)
    try:
        disk.mount()
    except (AssertionError, FileNotFoundError):
        pytest.skip("needs the right to mount a small file system")
    yield disk
    disk.unmount()


def ended(ordeal: Ordeal) -> None:
    if ordeal.process and ordeal.process.poll() is None:
        os.killpg(ordeal.process.pid, signal.SIGKILL)
        ordeal.process.wait()


@pytest.fixture
def on_disk(
    disk: Disk, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ordeal]:
    """A home that lies on the small disk."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ordeal = Ordeal(disk.path / "home", tiny_model, min_free_gigabytes=0)
    yield ordeal
    ended(ordeal)


def notices(ordeal: Ordeal) -> dict[str, str]:
    running = ordeal.home.running()
    return dict(running.notices) if running else {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "leaving",
    [0, 4_096, 16_384, 65_536, 262_144],
    ids=lambda leaving: f"{leaving} bytes left",
)
def test_a_disk_that_is_full_at_some_write_loses_nothing(
    on_disk: Ordeal, disk: Disk, leaving: int
) -> None:
    on_disk.start()
    assert on_disk.wait_for(lambda: on_disk.query("SELECT * FROM models")), on_disk.end_of_log()
    ballast = [on_disk.drop(number, f"staged/{number}.avi") for number in range(20)]
    ballast += [on_disk.drop(50, "staged/text.mp4", video=False)]
    full = disk.fill(leaving)
    for staged in ballast:  # within one file system a move needs no space
        staged.rename(on_disk.home.inbox / staged.name)
    on_disk.wait_for(on_disk.is_worked_off, seconds=8)
    assert on_disk.process
    assert on_disk.process.poll() is None, on_disk.end_of_log()
    on_disk.require_all_there()
    on_disk.kill()  # and the power fails on top of it
    on_disk.start()
    time.sleep(6)
    full.unlink()
    if (code := on_disk.process.poll()) is not None:
        assert code == os.EX_TEMPFAIL, on_disk.end_of_log()  # the service would start it again
        on_disk.start()
    assert on_disk.wait_for(on_disk.is_worked_off), on_disk.end_of_log()
    on_disk.stop()
    on_disk.require_well()


@pytest.mark.slow
def test_below_the_set_free_space_nothing_is_taken_up_until_there_is_more(
    on_disk: Ordeal, disk: Disk
) -> None:
    on_disk.environment["VIDWATCH_MIN_FREE_GIGABYTES"] = "0.01"
    full = disk.fill(leaving=8_000_000)
    on_disk.start()
    assert on_disk.wait_for(lambda: "disk" in notices(on_disk)), on_disk.end_of_log()
    assert "less than 0.01 GB (min_free_gigabytes) are free" in notices(on_disk)["disk"]
    for number in range(5):
        on_disk.drop(number, f"inbox/{number}.avi")
    assert on_disk.wait_for(
        lambda: on_disk.query("SELECT count(*) FROM videos WHERE state = 'queued'") == [(5,)]
    )
    time.sleep(2)
    assert on_disk.query("SELECT count(*) FROM videos WHERE state = 'queued'") == [(5,)]
    full.unlink()
    assert on_disk.wait_for(on_disk.is_worked_off), on_disk.end_of_log()
    assert "disk" not in notices(on_disk)
    on_disk.stop()
    on_disk.require_well()


@pytest.mark.slow
def test_a_disk_that_becomes_read_only_costs_time_alone(on_disk: Ordeal, disk: Disk) -> None:
    on_disk.start()
    assert on_disk.wait_for(lambda: on_disk.query("SELECT * FROM models")), on_disk.end_of_log()
    for number in range(10):
        on_disk.drop(number, f"inbox/{number}.avi")
    if subprocess.run(
        ["mount", "-o", "remount,ro", str(disk.path)], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs a kernel that makes a disk read-only while files on it are open")
    time.sleep(5)
    on_disk.require_all_there()
    run("mount", "-o", "remount,rw", str(disk.path))
    if on_disk.process and (code := on_disk.process.poll()) is not None:
        assert code == os.EX_TEMPFAIL, on_disk.end_of_log()
        on_disk.start()
    assert on_disk.wait_for(on_disk.is_worked_off), on_disk.end_of_log()
    on_disk.stop()
    on_disk.require_well()


@pytest.fixture
def inbox_apart(ordeal: Ordeal, disk: Disk) -> Disk:
    """The inbox on a file system of its own, as a disk or a share."""
    disk.unmount()
    ordeal.home.inbox.rmdir()
    apart = Disk(ordeal.home.inbox, 16)
    apart.mount()
    disk.unmount, disk.mount = apart.unmount, disk.mount  # type: ignore[method-assign]
    return apart


def drop_apart(ordeal: Ordeal, number: int) -> None:
    """Copied, as it must be from another disk."""
    made = ordeal.drop(number, f"staged/{number}.avi")
    shutil.copy(made, ordeal.home.inbox / f".{number}.part")
    made.unlink()
    (ordeal.home.inbox / f".{number}.part").rename(ordeal.home.inbox / f"{number}.avi")


@pytest.mark.slow
def test_an_inbox_on_another_file_system_that_goes_away_and_comes_back(
    ordeal: Ordeal, inbox_apart: Disk
) -> None:
    ordeal.start()
    assert ordeal.wait_for(lambda: ordeal.query("SELECT * FROM models")), ordeal.end_of_log()
    for number in range(10):
        drop_apart(ordeal, number)
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    for number in range(10, 20):
        drop_apart(ordeal, number)
    with away(inbox_apart, ordeal.home.root / "kept"):
        assert ordeal.wait_for(lambda: "mount it" in notices(ordeal).get("inbox", "")), (
            ordeal.end_of_log()
        )
        time.sleep(4)
        assert ordeal.query("SELECT count(*) FROM videos WHERE state = 'failed'") == [(0,)]
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    assert ordeal.wait_for(lambda: "inbox" not in notices(ordeal))
    ordeal.stop()
    ordeal.require_well()


@pytest.mark.slow
def test_an_inbox_that_is_away_when_the_daemon_starts(ordeal: Ordeal, inbox_apart: Disk) -> None:
    for number in range(5):
        drop_apart(ordeal, number)
    ordeal.start("daemon.classify.reading:read:before")
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    ordeal.kill()
    queued = "SELECT count(*) FROM videos WHERE finished_at IS NULL"
    assert ordeal.query(queued) == [(5,)]
    with away(inbox_apart, ordeal.home.root / "kept"):
        ordeal.start()
        assert ordeal.wait_for(lambda: "mount it" in notices(ordeal).get("inbox", "")), (
            ordeal.end_of_log()
        )
        time.sleep(4)  # longer than a file may be gone
        assert ordeal.query(queued) == [(5,)]
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    ordeal.stop()
    ordeal.require_well()


@contextmanager
def away(disk: Disk, elsewhere: Path) -> Iterator[None]:
    """The file system lies elsewhere meanwhile, with all that is on it."""
    elsewhere.mkdir()
    run("mount", "--bind", str(disk.path), str(elsewhere))
    disk.unmount()
    yield
    run("mount", "--move", str(elsewhere), str(disk.path))
    elsewhere.rmdir()


@pytest.mark.slow
def test_a_kill_while_files_are_copied_from_another_file_system(
    ordeal: Ordeal, inbox_apart: Disk
) -> None:
    for number in range(12):
        drop_apart(ordeal, number)
    for fault in (
        "daemon.home.moving:copy_beside:before",
        "daemon.home.moving:copy_beside:after",
        "daemon.home.moving:_copy_attributes:before:2",
    ):
        ordeal.start(fault)
        assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
        ordeal.kill()
    ordeal.work_off()
    ordeal.require_well()
    assert not list(ordeal.home.root.rglob(".vidwatch-*"))


@pytest.mark.slow
def test_without_watches_left_files_are_found_by_searching_and_it_says_so(ordeal: Ordeal) -> None:
    limit = Path("/proc/sys/user/max_inotify_instances")
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-Ur", "true"], check=False).returncode
    ):
        pytest.skip("needs a user namespace, to have no watches of its own")
    ordeal.start(prefix=("unshare", "-Ur", "sh", "-c", f'echo 0 > {limit}; exec "$@"', "sh"))
    assert ordeal.wait_for(lambda: "events of inbox" in notices(ordeal)), ordeal.end_of_log()
    assert "new files are found by searching, every 1 s" in notices(ordeal)["events of inbox"]
    for number in range(5):
        ordeal.drop(number, f"inbox/{number}.avi")
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    ordeal.stop()
    ordeal.require_well()


@pytest.mark.slow
@pytest.mark.parametrize(("watch", "events"), [("polling", False), ("auto", True)])
def test_polling_chosen_by_a_setting_finds_files_without_events(
    ordeal: Ordeal, watch: str, events: bool
) -> None:
    ordeal.environment["VIDWATCH_WATCH"] = watch
    ordeal.start()
    assert ordeal.wait_for(lambda: ordeal.query("SELECT * FROM models")), ordeal.end_of_log()
    for number in range(5):
        ordeal.drop(number, f"inbox/{number}.avi")
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    assert ordeal.process
    opened = {
        descriptor.readlink() for descriptor in Path(f"/proc/{ordeal.process.pid}/fd").iterdir()
    }
    assert (Path("anon_inode:inotify") in opened) == events
    ordeal.stop()
    ordeal.require_well()


@pytest.mark.slow
def test_files_whose_events_were_lost_by_the_thousand_are_all_found(ordeal: Ordeal) -> None:
    """The daemon sleeps while more come than the kernel keeps."""
    litter = ordeal.home.inbox / "deep"
    litter.mkdir()
    ordeal.start()
    assert ordeal.wait_for(lambda: "watching" in ordeal.log.read_text()), ordeal.end_of_log()
    time.sleep(2)  # the watches are set right after it has said so
    assert ordeal.process
    ordeal.process.send_signal(signal.SIGSTOP)
    for number in range(int(KEPT.read_text()) // 2 + 500):  # created and closed: two events each
        (litter / f"{number}.tmp").touch()
    for number in range(10):
        ordeal.drop(number, f"inbox/deep/{number}.avi")
    ordeal.process.send_signal(signal.SIGCONT)
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    assert ordeal.wait_for(lambda: "overflow" in ordeal.log.read_text()), ordeal.end_of_log()
    shutil.rmtree(litter)
    ordeal.stop()
    ordeal.require_well()


@pytest.mark.slow
def test_names_that_differ_in_case_alone_and_renames_between_them(ordeal: Ordeal) -> None:
    ordeal.drop(0, "inbox/Clip.avi")
    ordeal.drop(1, "inbox/clip.avi")
    ordeal.start()
    assert ordeal.wait_for(lambda: ordeal.query("SELECT * FROM videos WHERE state = 'filed'")), (
        ordeal.end_of_log()
    )
    for number in range(2, 12):
        path = ordeal.drop(number, f"inbox/Take-{number}.avi")
        path.rename(path.with_name(path.name.lower()))
    assert ordeal.wait_for(ordeal.is_worked_off), ordeal.end_of_log()
    ordeal.stop()
    ordeal.require_well()


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_a_database_that_is_damaged_while_the_daemon_runs_ends_it_with_the_way_back(
    ordeal: Ordeal,
) -> None:
    for number in range(30):
        ordeal.drop(number, f"inbox/{number}.avi")
    ordeal.work_off()
    ordeal.start()
    assert ordeal.wait_for(lambda: "watching" in ordeal.log.read_text()[-200:]), ordeal.end_of_log()
    time.sleep(3)
    database = ordeal.home.database
    assert isinstance(database, Path)
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(database.stat().st_size - 4096))
    ordeal.drop(100, "inbox/100.avi")
    assert ordeal.process
    assert ordeal.process.wait(60) == 2, ordeal.end_of_log()
    assert "is damaged" in ordeal.end_of_log()
    assert "vidwatch restore" in ordeal.end_of_log()
    ordeal.require_all_there()

"""How long it takes from SIGTERM to the end of the daemon, whatever is going on."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest
from installed import SLOWEST, VIDWATCH, Daemon
from installed import daemon as daemon
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Table,
    insert,
    text,
)

from daemon.database.connection import opened
from daemon.home.address import Database
from daemon.training.job import Job, LabelledFile
from daemon.training.process import start

PROMISED = 10  # seconds
# Machines that run this are shared. The work below takes several times as long.
ALLOWED = 2 * PROMISED


class Stopped(Daemon):
    """A daemon with its log in a file, since many lines fill a pipe."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.log = root.parent / "daemon.log"
        self.environment["VIDWATCH_SETTLE_SECONDS"] = "0.5"

    def begin(self, **more: str) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [VIDWATCH, "run"], env={**self.environment, **more}, stderr=log, text=True
            )

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + SLOWEST
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-2000:]
            assert self.process
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.02)

    def stop(self, what: str) -> float:
        """Seconds from SIGTERM to the end."""
        assert self.process
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(SLOWEST)
        took = time.monotonic() - began
        log = self.log.read_text()
        forced = [line for line in log.splitlines() if "without waiting" in line]
        print(f"{what}: {took:.1f} s from SIGTERM to the end {forced}")
        assert (code, "Traceback" in log) == (0, False), log[-2000:]
        assert took < ALLOWED
        return took


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Stopped]:
    daemon = Stopped(tmp_path / "home")
    yield daemon
    if daemon.process and daemon.process.poll() is None:
        daemon.process.kill()
        daemon.process.wait()


def job(clips: int) -> Job:
    """A job that is larger than what a pipe takes."""
    files = [
        LabelledFile(f"/home/labelled/Biking/{n}.avi", "Biking", f"#{n}", f"{n:064x}", False)
        for n in range(clips)
    ]
    return Job(
        challenger="/home/models/auto-1",
        champion="starter",
        is_trained=False,
        recipe="head",
        device="cpu",
        memory=0.5,
        cache=0,
        min_class_clips=5,
        training=tuple(files),
        holdout=(),
        forgotten=(),
        comparison=1,
        rule={},
    )


def test_a_trainer_that_is_stopped_before_it_reads_its_job_holds_nobody_up(tmp_path: Path) -> None:
    given = job(10_000)
    assert len(given.to_json()) > 10 * 2**16
    started: list[subprocess.Popen[bytes]] = []
    others = psutil.Process().children()  # of other tests in this process
    thread = threading.Thread(target=lambda: started.append(start(given, tmp_path)), daemon=True)
    thread.start()
    deadline = time.monotonic() + SLOWEST
    while not (children := [one for one in psutil.Process().children() if one not in others]):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    (child,) = children
    own = psutil.Process().cmdline()
    while child.cmdline() in ([], own):  # Popen waits until the program is loaded
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.send_signal(signal.SIGSTOP)
    thread.join(PROMISED)
    was_held_up = thread.is_alive()
    child.kill()
    thread.join(SLOWEST)
    assert not was_held_up
    assert started[0].wait(SLOWEST) == -signal.SIGKILL


@pytest.mark.slow
def test_a_trainer_reads_a_large_job_to_its_end(tmp_path: Path) -> None:
    process = start(job(10_000), tmp_path)
    process.wait(SLOWEST)
    log = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in log.partition("VidwatchError")[0] or "JSON" not in log
    assert "JSONDecodeError" not in log


@pytest.mark.slow
def test_a_database_that_is_locked_by_others_keeps_no_daemon_from_its_end(stopped: Stopped) -> None:
    stopped.begin()
    stopped.wait_for(lambda status: status["daemon"]["state"] == "running")
    with opened(stopped.database) as engine, writing(engine) as other:
        if other.dialect.name == "postgresql":
            other.execute(text("LOCK TABLE videos"))
        (stopped.inbox / "a.txt").write_text("no video")
        time.sleep(4)
        stopped.stop("a locked database")


@pytest.mark.slow
def test_a_hundred_thousand_files_that_have_just_come_keep_no_daemon_from_its_end(
    stopped: Stopped,
) -> None:
    for number in range(100_000):
        (stopped.inbox / f"{number}.txt").touch()
    stopped.begin()
    stopped.wait_until(lambda: stopped.query("SELECT count(*) FROM videos")[0][0] > 0)
    stopped.stop("100,000 files")


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    return engine.execution_options(writes=True).begin()


def grow(database: Database, gigabytes: float) -> None:
    """Make a database as large as one of a million videos with all their logits."""
    filler = Table("filler", MetaData(), Column("bytes", LargeBinary))
    with opened(database) as engine:
        with writing(engine) as connection:
            filler.create(connection)
        for _ in range(round(gigabytes * 64)):
            with writing(engine) as connection:
                rows = [{"bytes": os.urandom(2**14)} for _ in range(2**10)]
                connection.execute(insert(filler), rows)


@pytest.mark.slow
def test_a_backup_under_way_keeps_no_daemon_from_its_end(stopped: Stopped) -> None:
    grow(stopped.database, 2.5)
    backups = stopped.root / "backups"
    stopped.begin()
    stopped.wait_until(lambda: sum(path.stat().st_size for path in backups.glob(".*")) > 2**27)
    stopped.stop("a backup of 2.5 GB")
    assert list(backups.iterdir()) == []


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_a_check_of_a_large_database_at_the_start_keeps_no_daemon_from_its_end(
    stopped: Stopped,
) -> None:
    grow(stopped.database, 2.5)
    subprocess.run(["sync"], check=True)
    stopped.begin()
    time.sleep(3)
    stopped.stop("the start on 2.5 GB")


@pytest.mark.slow
def test_a_copy_of_many_gigabytes_keeps_no_daemon_from_its_end(stopped: Stopped) -> None:
    shm = Path("/dev/shm", f"vidwatch-stops-{os.getpid()}")
    if not shm.parent.is_dir() or shm.parent.stat().st_dev == stopped.root.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    shm.mkdir()
    try:
        stopped.inbox.rmdir()
        stopped.inbox.symlink_to(shm)
        with (shm / "a.txt").open("wb") as file:
            file.truncate(8 * 2**30)  # with no bytes in it, it takes no memory
        stopped.begin()
        failed = stopped.root / "failed"
        stopped.wait_until(lambda: sum(path.stat().st_size for path in failed.glob(".*")) > 2**27)
        stopped.stop("a copy of 8 GB")
        assert list(failed.iterdir()) == []
        assert (shm / "a.txt").stat().st_size == 8 * 2**30
    finally:
        shutil.rmtree(shm)


SLOW_SHARE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static void slow(const char *path) { if (strstr(path, "clip-")) usleep(3000); }
int fstatat(int d, const char *p, struct stat *s, int f) {
    int (*real)(int, const char *, struct stat *, int) = dlsym(RTLD_NEXT, "fstatat");
    slow(p); return real(d, p, s, f); }
int fstatat64(int d, const char *p, struct stat64 *s, int f) {
    int (*real)(int, const char *, struct stat64 *, int) = dlsym(RTLD_NEXT, "fstatat64");
    slow(p); return real(d, p, s, f); }
int lstat64(const char *p, struct stat64 *s) {
    int (*real)(const char *, struct stat64 *) = dlsym(RTLD_NEXT, "lstat64");
    slow(p); return real(p, s); }
int lstat(const char *p, struct stat *s) {
    int (*real)(const char *, struct stat *) = dlsym(RTLD_NEXT, "lstat");
    slow(p); return real(p, s); }
"""
BEATS = """
import sys, time
from daemon.inbox.watcher import Watcher, WatcherSettings

longest, last, taken = 0.0, time.monotonic(), []

def beat():
    global longest, last
    longest = max(longest, time.monotonic() - last)
    last = time.monotonic()

settings = WatcherSettings(
    settle=0.1, rescan=3600, polling=True, unknown=list, take=taken.extend, trouble=OSError,
    shown_elsewhere=lambda error: False,
    note=lambda *_: None, beat=beat,
)
watcher = Watcher([sys.argv[1].encode()], settings)
began = time.monotonic()
watcher.start()
while len(taken) < int(sys.argv[2]):
    time.sleep(0.1)
print(longest, time.monotonic() - began)
watcher.stop()
"""


@pytest.mark.slow
def test_a_watcher_of_a_slow_share_shows_all_the_time_that_it_goes_on(tmp_path: Path) -> None:
    if not shutil.which("gcc"):
        pytest.skip("needs a compiler, to make a share slow")
    (tmp_path / "slow.c").write_text(SLOW_SHARE)
    library = tmp_path / "slow.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "slow.c", "-ldl"], check=True
    )
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for number in range(1000):
        (inbox / f"clip-{number}").touch()
    done = subprocess.run(
        [sys.executable, "-c", BEATS, inbox, "1000"],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=SLOWEST,
    )
    assert done.returncode == 0, done.stderr
    longest, took = map(float, done.stdout.split())
    print(f"{took:.1f} s for 1,000 files, at most {longest:.2f} s without a beat")
    assert took > 3 * 3  # each is looked at three times: the share was slow
    assert longest < 1.5


def test_who_is_ended_for_taking_too_long_has_a_last_word() -> None:
    lines = [
        "import os, signal, time",
        "from daemon.service import stopping",
        "stopping.LONGEST = 0.2",
        "stop = stopping.Stop()",
        "stop.install()",
        "stop.last_words = lambda: print('3 done', flush=True) or 75",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "time.sleep(60)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (75, "3 done\n")

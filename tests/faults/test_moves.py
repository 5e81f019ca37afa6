"""A label that is given while its file is on its way counts, and a move of ours is never a label.

The thread that moves files is held at a step, as on a busy disk; all else goes on, and folders are
searched.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ordeal import Ordeal
from ordeal import ordeal as ordeal
from ordeal import tiny_model as tiny_model

from daemon.home.address import Server
from daemon.page.labelling import PageLabels, Submission
from daemon.page.sessions import Session

SEARCHED = 3  # seconds, in which folders are searched more than once
# Steps of a move: before the file has left the inbox, and after it.
BEFORE_IT_LEFT = (
    "daemon.database.queue:Queue.moves:before",
    "daemon.database.queue:Queue.moves:after",
    "daemon.home.moving:move_file:before",
    "daemon.home.doors:Doors.rename:before",
)
AFTER_IT_LEFT = (
    "daemon.home.doors:Doors.rename:after",
    "daemon.home.moving:move_file:after",
    "daemon.home.moving:sync_folders:before",
    "daemon.home.moving:sync_folders:after",
    "daemon.database.queue:Queue.moved:before",
)
NOTED = ("daemon.database.queue:Queue.moved:after",)
MOVED = "daemon.home.moving:sync_folders:before"
BUSY_DISK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>
int fsync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    struct stat status;
    if (!fstat(file, &status) && S_ISDIR(status.st_mode)) sleep(5);
    return real(file);
}
"""
LOCK = """
import sys, time
from daemon.database.connection import opened
from daemon.home.folder import Home
with opened(Home.at(sys.argv[1]).database) as engine:
    with engine.execution_options(writes=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        print("locked", flush=True)
        time.sleep(float(sys.argv[2]))
"""


def by_command(ordeal: Ordeal, video: int) -> str:
    done = ordeal.command("label", str(video), "Skiing")
    assert done.returncode == 0, done.stderr
    return "command"


def by_csv(ordeal: Ordeal, video: int) -> str:
    table = ordeal.root / ".table.csv"
    table.write_text(f"file,label\n{video},Skiing\n")
    done = ordeal.command("label", "--csv", str(table))
    assert done.returncode == 0, done.stderr
    return "csv"


def on_the_page(ordeal: Ordeal, video: int) -> str:
    page = PageLabels(ordeal.home, ordeal.engine, ordeal.engine)
    page.apply(Submission("label", (video,), "Skiing"), Session(), "ann")
    return "page"


def hold(ordeal: Ordeal, step: str, files: int = 1) -> None:
    """Have the daemon file clips that are predicted, until it is at that step."""
    ordeal.enqueue(*(ordeal.drop(n, f"inbox/{n}.avi") for n in range(1, files + 1)))
    ordeal.predict(ordeal.model_prediction("Biking"))
    ordeal.start(step, hold=True)
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()


def go_on(ordeal: Ordeal) -> None:
    """Let all come to its end: what searches find later, too."""
    ordeal.let_go()
    assert ordeal.wait_for(ordeal.is_worked_off), (ordeal.rows(), ordeal.end_of_log())
    time.sleep(SEARCHED)
    assert ordeal.wait_for(ordeal.is_worked_off), (ordeal.rows(), ordeal.end_of_log())
    ordeal.stop()


def kill_and_start_again(ordeal: Ordeal) -> None:
    ordeal.kill()
    ordeal.start()
    go_on(ordeal)


def require(ordeal: Ordeal, labels: list[tuple[Any, ...]], *places: str) -> None:
    """These are all labels and the places of all files, and the home is well."""
    assert ordeal.given_labels() == labels, ordeal.end_of_log()
    assert {str(path.relative_to(ordeal.root)) for path in ordeal.kept_files()} == set(places)
    ordeal.require_well()


@pytest.mark.parametrize(
    "give",
    [pytest.param(by, marks=pytest.mark.slow) for by in (by_command, by_csv, on_the_page)],
)
def test_a_label_given_while_its_file_is_being_moved_counts(
    ordeal: Ordeal, give: Callable[[Ordeal, int], str]
) -> None:
    hold(ordeal, MOVED)
    source = give(ordeal, 1)
    time.sleep(SEARCHED)
    go_on(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", source)], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_clip_that_was_dropped_and_labelled_meanwhile_is_filed_once(ordeal: Ordeal) -> None:
    ordeal.drop(1, "inbox/1.avi")
    ordeal.start(MOVED, hold=True)
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    by_command(ordeal, 1)
    time.sleep(SEARCHED)
    kill_and_start_again(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_daemon_that_is_killed_meanwhile_keeps_the_label(ordeal: Ordeal) -> None:
    hold(ordeal, MOVED)
    by_command(ordeal, 1)
    kill_and_start_again(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.mark.slow
@pytest.mark.parametrize("then", [go_on, kill_and_start_again])
@pytest.mark.parametrize("step", BEFORE_IT_LEFT + AFTER_IT_LEFT + NOTED)
def test_a_label_given_at_any_step_of_a_move_counts(
    ordeal: Ordeal, step: str, then: Callable[[Ordeal], None]
) -> None:
    hold(ordeal, step)
    by_command(ordeal, 1)
    time.sleep(SEARCHED)
    then(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.mark.slow
@pytest.mark.parametrize("then", [go_on, kill_and_start_again])
def test_a_file_that_a_person_moves_on_meanwhile_is_a_label(
    ordeal: Ordeal, then: Callable[[Ordeal], None]
) -> None:
    hold(ordeal, MOVED)
    ours = ordeal.root / "classified/Biking/1.avi"
    (ordeal.root / "labelled/Skiing").mkdir(parents=True)
    ours.rename(ordeal.root / "labelled/Skiing/1.avi")
    assert ordeal.wait_for(ordeal.given_labels)
    then(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "moved")], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_file_that_a_person_takes_before_we_do_is_a_label(ordeal: Ordeal) -> None:
    hold(ordeal, "daemon.home.moving:move_file:before")
    (ordeal.root / "labelled/Skiing").mkdir(parents=True)
    (ordeal.inbox / "1.avi").rename(ordeal.root / "labelled/Skiing/1.avi")
    go_on(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "moved")], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_label_counts_while_another_process_has_the_database(ordeal: Ordeal) -> None:
    hold(ordeal, MOVED)
    by_command(ordeal, 1)
    with _locked(ordeal, seconds=2) as lock:
        ordeal.let_go()
        lock.wait()
    go_on(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_label_counts_on_a_disk_that_takes_seconds_to_sync_a_folder(
    ordeal: Ordeal, tmp_path: Path
) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "busy.c"
    source.write_text(BUSY_DISK)
    busy = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", busy, source, "-ldl"], check=True)
    ordeal.enqueue(ordeal.drop(1, "inbox/1.avi"))
    ordeal.predict(ordeal.model_prediction("Biking"))
    ordeal.environment["LD_PRELOAD"] = str(busy)
    ordeal.start()
    del ordeal.environment["LD_PRELOAD"]
    assert ordeal.wait_for((ordeal.root / "classified/Biking/1.avi").exists)
    by_command(ordeal, 1)
    go_on(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.mark.slow
def test_a_label_counts_after_the_database_was_locked_for_longer_than_we_wait(
    ordeal: Ordeal,
) -> None:
    hold(ordeal, MOVED)
    by_command(ordeal, 1)
    with _locked(ordeal, seconds=40) as lock:
        ordeal.let_go()
        lock.wait()
    on_server = isinstance(ordeal.home.database, Server)
    assert ("lock timeout" if on_server else "database is locked") in ordeal.log.read_text()
    go_on(ordeal)
    require(ordeal, [(1, "labelled", "Skiing", "command")], "labelled/Skiing/1.avi")


@pytest.fixture
def elsewhere(ordeal: Ordeal) -> Iterator[Ordeal]:
    """The inbox is on another file system, so that files are copied."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == ordeal.root.stat().st_dev:
        pytest.skip("needs /dev/shm on another file system")
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        ordeal.inbox.rmdir()
        ordeal.inbox.symlink_to(folder)
        made = Path(folder, ".made")
        made.mkdir()
        ordeal._made = made
        yield ordeal
        if ordeal.process and ordeal.process.poll() is None:
            ordeal.process.kill()
            ordeal.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("then", [go_on, kill_and_start_again])
@pytest.mark.parametrize("step", ["daemon.home.moving:copy_beside:before:2", MOVED])
def test_a_copy_to_another_file_system_is_no_label_and_a_correction_of_it_counts(
    elsewhere: Ordeal, step: str, then: Callable[[Ordeal], None]
) -> None:
    hold(elsewhere, step, files=2)
    by_command(elsewhere, 1)
    time.sleep(SEARCHED)
    then(elsewhere)
    labels = [(1, "labelled", "Skiing", "command")]
    require(elsewhere, labels, "labelled/Skiing/1.avi", "classified/Biking/2.avi")


def _locked(ordeal: Ordeal, seconds: float) -> "subprocess.Popen[str]":
    """A process that holds the database's write lock for so long."""
    command = [sys.executable, "-c", LOCK, str(ordeal.root), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "locked\n"
    return process


SIDECARS = "daemon.home.sidecars:Sidecars."


@pytest.mark.slow
@pytest.mark.parametrize("home", ["ordeal", "elsewhere"])
@pytest.mark.parametrize(
    "step", ["follow:before", "_rename:before:2", "_rename:after", "follow:after"]
)
def test_sidecars_follow_their_clip_if_a_daemon_is_killed_between_the_moves(
    request: pytest.FixtureRequest, home: str, step: str
) -> None:
    ordeal: Ordeal = request.getfixturevalue(home)
    ordeal.drop(1, "inbox/1.avi")
    for name in ("1.THM", "1.wav"):
        (ordeal.inbox / name).write_text(name)
    ordeal.start(SIDECARS + step)
    assert ordeal.wait_for(ordeal.reached.exists), ordeal.end_of_log()
    assert ordeal.process
    ordeal.process.wait()
    ordeal.start()
    assert ordeal.wait_for(ordeal.is_worked_off), (ordeal.rows(), ordeal.end_of_log())
    ordeal.stop()
    assert len({path.parent for path in ordeal.kept_files()}) == 1
    assert sorted(path.name for path in ordeal.kept_files()) == ["1.THM", "1.avi", "1.wav"]
    assert ordeal.command("check").returncode == 0

"""A daemon that rests: paused by a person, or outside of its working hours."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from installed import Daemon, drop
from installed import daemon as daemon

from daemon.home.hours import WorkingHours
from daemon.home.pause import Pause, end_pause, write_pause
from daemon.service.rest import Rest
from learner.process import cores_of_group

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)  # a Monday


def test_new_work_waits_for_the_end_of_a_pause_and_for_the_working_hours(tmp_path: Path) -> None:
    pause = tmp_path / ".paused"
    notes: list[datetime | None] = []
    spans = WorkingHours.parse(["Mon 10:00-14:00"]).spans
    rest = Rest(pause, WorkingHours(spans, UTC), notes.append)
    rest.look(NOON)
    assert (rest.why, rest.is_on, notes[-1]) == (None, False, None)
    write_pause(pause, Pause(NOON, NOON + timedelta(hours=3), "ann"))
    rest.look(NOON)
    assert rest.why is not None
    assert (rest.why[:6], rest.why[-7:]) == ("paused", " by ann")
    end_pause(pause)
    rest.look(NOON)
    assert not rest.is_on
    rest.look(NOON + timedelta(hours=2))
    assert rest.why is not None
    assert rest.why.endswith("(working_hours)")
    assert notes[-1] == NOON + timedelta(days=7, hours=-2)


@pytest.mark.slow
def test_a_paused_daemon_queues_and_begins_no_clip_until_it_is_resumed(daemon: Daemon) -> None:
    paused = daemon.command("pause", "--for", "2h")
    assert (paused.returncode, paused.stdout[:13]) == (0, "paused since ")
    drop(daemon.inbox, "a.avi", 1)
    daemon.start()
    status = daemon.wait_for(lambda status: status["queued"] == 1)
    since, until = (datetime.fromisoformat(status["paused"][at]) for at in ("since", "until"))
    assert until - since == timedelta(hours=2)
    drop(daemon.inbox, "b.avi", 2)
    status = daemon.wait_for(lambda status: status["queued"] == 2)
    shown = daemon.command("status").stdout
    assert [line for line in shown.splitlines() if "paused" in line and "by " in line]
    time.sleep(2)
    assert daemon.status()["queued"] == 2
    resumed = daemon.command("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "the pause has ended\n")
    status = daemon.wait_for(lambda status: status["filed"] == 2)
    assert status["paused"] is None
    code, log = daemon.end(signal.SIGTERM)
    assert code == 0
    assert "no new clip begins: paused since" in log
    assert "new clips begin again" in log


@pytest.mark.slow
def test_once_says_that_clips_stay_in_the_inbox(daemon: Daemon) -> None:
    assert daemon.command("pause").returncode == 0
    done = daemon.command("run", "--once")
    assert done.returncode == 0  # there was nothing to do
    drop(daemon.inbox, "a.avi", 1)
    done = daemon.command("run", "--once")
    assert done.returncode == os.EX_TEMPFAIL
    assert "vidwatch: clips stay in the inbox: paused since" in done.stderr
    assert daemon.command("resume").returncode == 0
    assert daemon.command("run", "--once").returncode == 0
    assert daemon.status()["filed"] == 1


@pytest.mark.slow
def test_outside_of_the_working_hours_the_daemon_rests_as_in_a_pause(daemon: Daemon) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=2)).strftime("%a")
    daemon.environment["VIDWATCH_WORKING_HOURS"] = f'["{tomorrow} 10:00-11:00"]'
    drop(daemon.inbox, "a.avi", 1)
    daemon.start()
    status = daemon.wait_for(lambda status: status["queued"] == 1)
    assert status["daemon"]["closed_until"][11:16] == "10:00" or time.timezone
    assert "no new clip begins until" in daemon.command("status").stdout
    assert "no new clip begins before" in daemon.command("resume").stdout
    time.sleep(2)
    assert daemon.status()["queued"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--for", "2"], "'2' is no length of time"),
        (["--until", "soon"], "'soon' is no time"),
        (["--until", "2001-01-01"], "'2001-01-01' is over"),
        (["--for", "1h", "--until", "20:00"], "not both"),
    ],
)
def test_a_wrong_pause_is_one_line(daemon: Daemon, words: list[str], error: str) -> None:
    done = daemon.command("pause", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert error in done.stderr
    assert not (daemon.root / ".paused").exists()


CORES = """
import os
from learner.process import limit_cores, usable_cores
before = sorted(os.sched_getaffinity(0))
limit_cores({most})
import subprocess, sys, torch
child = subprocess.run([sys.executable, "-c", "import os; print(len(os.sched_getaffinity(0)))"],
                       capture_output=True, text=True)
print(usable_cores(), torch.get_num_threads(), int(child.stdout), len(before))
"""


def cores(most: int, *prefix: str) -> list[int]:
    """What a process with this limit says: its cores, torch's threads, a child's cores, all."""
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [*prefix, sys.executable, "-c", CORES.format(most=most)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processor cores")
def test_the_cores_that_may_be_used_are_those_of_the_limit_with_all_children() -> None:
    assert cores(1)[:3] == [1, 1, 1]
    usable, threads, of_child, all_cores = cores(0)
    assert usable == of_child == all_cores
    assert threads <= usable


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("taskset"), reason="needs taskset")
def test_a_limit_from_outside_counts_and_is_never_widened() -> None:
    one = str(min(os.sched_getaffinity(0)))
    assert cores(64, "taskset", "-c", one)[0] == 1


def test_the_time_that_a_container_or_a_service_gets_counts_as_cores(tmp_path: Path) -> None:
    own = tmp_path / "system.slice/vidwatch.service"
    own.mkdir(parents=True)
    assert cores_of_group(tmp_path, "system.slice/vidwatch.service") is None
    (own / "cpu.max").write_text("max 100000\n")
    assert cores_of_group(tmp_path, "system.slice/vidwatch.service") is None
    (own / "cpu.max").write_text("250000 100000\n")
    assert cores_of_group(tmp_path, "system.slice/vidwatch.service") == 3
    (own.parent / "cpu.max").write_text("5000 100000\n")
    assert cores_of_group(tmp_path, "system.slice/vidwatch.service") == 1


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processor cores")
def test_the_daemon_and_its_decoders_keep_to_the_setting(daemon: Daemon) -> None:
    daemon.environment["VIDWATCH_CORES"] = "1"
    daemon.start()
    drop(daemon.inbox, "a.avi", 1)
    daemon.wait_for(lambda status: status["filed"] == 1)
    assert daemon.process
    process = psutil.Process(daemon.process.pid)
    decoders = process.children()
    assert len(decoders) == 1
    for one in (process, *decoders):
        for thread in one.threads():
            assert len(os.sched_getaffinity(thread.id)) == 1

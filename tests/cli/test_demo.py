"""`vidwatch demo`: the real daemon and commands, on clips that it draws."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.report.status import read_status

VIDWATCH = Path(sys.executable).with_name("vidwatch")
SLOWEST = 1800  # seconds; the machines that run this are shared


def environment(folder: Path) -> dict[str, str]:
    """Settings of a person's own home are in it, which the tour must not use."""
    own = {"VIDWATCH_HOME": str(folder / "own"), "VIDWATCH_MODEL": "mine"}
    places = {"TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder / "cache")}
    return {**os.environ, **own, **places, "VIDWATCH_DEVICE": "cpu"}


def test_a_folder_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    command = [VIDWATCH, "demo", "--keep", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_the_whole_loop_is_shown_on_a_home_that_may_be_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = subprocess.run(
        [VIDWATCH, "demo", "--keep", kept],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=SLOWEST,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    titles = re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE)
    assert titles == list("12345678")
    assert "The model auto-1 takes over" in done.stdout
    assert "always Balls" in done.stdout  # the reason of the decision
    assert "\x1b" not in done.stdout + done.stderr
    status = read_status(Home.at(kept), now())
    assert (status.model, status.running, status.counts["filed"]) == ("auto-1", None, 24)
    labelled = {path.parent.name for path in kept.glob("labelled/*/*.mp4")}
    assert labelled == {"Balls", "Boxes", "Rain"}
    assert f"vidwatch --home {kept} run" in done.stdout
    assert not (tmp_path / "own").exists()


@pytest.mark.slow
def test_ctrl_c_ends_the_daemon_and_removes_the_home(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [VIDWATCH, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path),
        start_new_session=True,
    )
    daemon = wait_for_daemon(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    out, error = process.communicate(timeout=SLOWEST)
    assert process.returncode == 130, out
    assert "ended by Ctrl-C" in error
    assert "Traceback" not in error
    assert not Path(f"/proc/{daemon}").exists()
    assert list(tmp_path.glob("vidwatch-demo-*")) == []


def wait_for_daemon(folder: Path) -> int:
    """The process of the daemon, once it runs."""
    deadline = time.monotonic() + SLOWEST
    while time.monotonic() < deadline:
        for home in folder.glob("vidwatch-demo-*/home"):
            if running := Home.at(home).running():
                return running.pid
        time.sleep(0.1)
    raise AssertionError("the daemon of the tour did not start")

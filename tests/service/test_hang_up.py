"""SIGHUP: a terminal that is closed, a service that is told to read its settings, and nohup."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import time
from pathlib import Path

import pytest
from installed import SLOWEST, VIDWATCH, Daemon
from installed import daemon as daemon


def start_in_terminal(daemon: Daemon, log: Path | None) -> int:
    """Start the daemon as what a terminal runs; gives the descriptor that closes the terminal."""
    ours, its = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)

    stderr = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC) if log else its
    daemon.process = subprocess.Popen(
        [VIDWATCH, "run"],
        env=daemon.environment,
        stdin=its,
        stdout=its,
        stderr=stderr,
        text=True,
        start_new_session=True,
        preexec_fn=own_terminal,
    )
    for descriptor in {its, stderr}:
        os.close(descriptor)
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("to_a_file", [True, False], ids=["log in a file", "log in the terminal"])
def test_a_terminal_that_is_closed_ends_the_daemon_cleanly(
    daemon: Daemon, tmp_path: Path, to_a_file: bool
) -> None:
    log = tmp_path / "log" if to_a_file else None
    terminal = start_in_terminal(daemon, log)
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    os.close(terminal)
    assert daemon.process
    assert daemon.process.wait(SLOWEST) == 0
    assert not daemon.status()["daemon"]["running"]
    if log:
        text = log.read_text()
        assert "SIGHUP: the terminal was closed; ending as by SIGTERM" in text
        assert "INFO stopping" in text
        assert "Traceback" not in text


@pytest.mark.slow
def test_a_service_logs_it_and_goes_on(daemon: Daemon) -> None:
    daemon.start()
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    assert daemon.process
    daemon.process.send_signal(signal.SIGHUP)
    time.sleep(2)
    assert daemon.process.poll() is None
    code, log = daemon.end(signal.SIGTERM)
    assert code == 0
    assert "SIGHUP changes nothing: restart the daemon to have settings read" in log


@pytest.mark.slow
def test_nohup_is_obeyed(daemon: Daemon, tmp_path: Path) -> None:
    """It has SIGHUP ignored: then the daemon outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        terminal = start_in_terminal(daemon, tmp_path / "log")
    finally:
        signal.signal(signal.SIGHUP, before)
    daemon.wait_for(lambda status: status["daemon"]["state"] == "running")
    os.close(terminal)
    time.sleep(2)
    assert daemon.process
    assert daemon.process.poll() is None
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(SLOWEST) == 0

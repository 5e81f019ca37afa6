"""What systemd is told, read from a real socket."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from daemon.service.systemd import LoopMonitor, Notifier

VIDWATCH = Path(sys.executable).with_name("vidwatch")
SLOWEST = 120  # seconds; the machines that run this are shared


class Manager:
    """Systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self, seconds: float = 0.05) -> list[str]:
        """What was said, until nothing more comes for some seconds."""
        self.socket.settimeout(seconds)
        said = []
        try:
            while True:
                said.append(self.socket.recv(4096).decode())
        except TimeoutError:
            return said

    def wait_for(self, line: str) -> list[str]:
        """All that is said until `line` is."""
        said: list[str] = []
        deadline = time.monotonic() + SLOWEST
        while line not in said:
            assert time.monotonic() < deadline, said
            said += self.heard()
        return said


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Manager]:
    address = (
        str(tmp_path / "notify") if request.param == "path" else f"@vidwatch-test-{os.getpid()}"
    )
    manager = Manager(address)
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    yield manager
    manager.socket.close()


def test_each_word_is_a_datagram_of_its_own(manager: Manager) -> None:
    notifier = Notifier.from_environment()
    notifier.ready()
    notifier.status("3 waiting,\n1 in hand")
    notifier.alive()
    notifier.stopping()
    assert manager.heard() == ["READY=1", "STATUS=3 waiting, 1 in hand", "WATCHDOG=1", "STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "vsock:2:3", "relative"])
def test_without_a_socket_of_systemd_nothing_is_said(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    Notifier.from_environment().ready()


def test_a_manager_that_is_gone_costs_a_line_in_the_log_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(tmp_path / "gone")).ready()
    assert caplog.messages == ["systemd cannot be told READY: No such file or directory"]


def test_a_manager_that_reads_nothing_does_not_hold_up_the_daemon(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    manager.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    began, notifier = time.monotonic(), Notifier(manager.address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sender.sendto(b"x", manager.address)
    notifier.alive()
    assert time.monotonic() - began < 5
    manager.socket.close()


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [
        ("30000000", None, 30),
        ("30000000", "own", 30),
        ("30000000", "1", None),
        (None, None, None),
        ("0", None, None),
        ("soon", None, None),
    ],
)
def test_the_watchdog_is_heeded_where_it_is_meant_for_this_process(
    monkeypatch: pytest.MonkeyPatch,
    microseconds: str | None,
    pid: str | None,
    seconds: float | None,
) -> None:
    for name, value in (
        ("WATCHDOG_USEC", microseconds),
        ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid),
    ):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert Notifier.from_environment().watchdog_seconds == seconds


def test_pings_come_while_all_loops_go_on_and_cease_when_one_is_stuck(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    heart = LoopMonitor(
        Notifier(manager.address, watchdog_seconds=40), {"main": 5, "watcher": 30}, now=0
    )
    for second in range(60):
        heart.beat("main", second)
        if second < 20:
            heart.beat("watcher", second)
        heart.tend(second)
    assert (
        manager.heard() == ["WATCHDOG=1"] * 5
    )  # at 0, 10, 20, 30, 40; the watcher is stuck from 50 on
    assert heart.stuck(59) == ["watcher"]
    assert caplog.messages == ["stuck, and soon to be ended by systemd: watcher"]
    heart.beat("watcher", 60)
    heart.tend(60)
    assert manager.heard() == ["WATCHDOG=1"]
    manager.socket.close()


def test_where_no_watchdog_is_asked_for_none_is_pinged(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    LoopMonitor(Notifier(manager.address), {"main": 5}, now=0).tend(1)
    assert manager.heard() == []
    manager.socket.close()


def test_the_daemon_tells_that_it_is_ready_alive_and_stopping(
    manager: Manager, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "WATCHDOG_USEC": "4000000",
        "VIDWATCH_DEVICE": "cpu",
        "VIDWATCH_HOME": str(tmp_path),
    }
    with subprocess.Popen(
        [VIDWATCH, "run"], env=environment, stderr=subprocess.PIPE, text=True
    ) as daemon:
        try:
            before = manager.wait_for("READY=1")
            assert "WATCHDOG=1" not in before[: before.index("READY=1")]
            manager.wait_for("WATCHDOG=1")
            manager.wait_for("WATCHDOG=1")
            daemon.send_signal(signal.SIGTERM)
            manager.wait_for("STOPPING=1")
            _, said = daemon.communicate(timeout=SLOWEST)
            assert (daemon.returncode, "Traceback" in said) == (0, False)
        finally:
            daemon.kill()

"""The messages to systemd, read from a real socket."""

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

    def received(self, seconds: float = 0.05) -> list[str]:
        """All messages, until none comes for so many seconds."""
        self.socket.settimeout(seconds)
        lines = []
        try:
            while True:
                lines.append(self.socket.recv(4096).decode())
        except TimeoutError:
            return lines

    def wait_for(self, line: str) -> list[str]:
        """All messages up to `line`."""
        lines: list[str] = []
        deadline = time.monotonic() + SLOWEST
        while line not in lines:
            assert time.monotonic() < deadline, lines
            lines += self.received()
        return lines


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


def test_each_message_is_a_datagram_of_its_own(manager: Manager) -> None:
    notifier = Notifier.from_environment()
    notifier.ready()
    notifier.status("3 waiting,\n1 in hand")
    notifier.alive()
    notifier.stopping()
    assert manager.received() == [
        "READY=1",
        "STATUS=3 waiting, 1 in hand",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


@pytest.mark.parametrize("address", [None, "", "vsock:2:3", "relative"])
def test_without_a_socket_of_systemd_nothing_is_sent(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    Notifier.from_environment().ready()


def test_a_manager_that_is_gone_costs_only_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier(str(tmp_path / "gone")).ready()
    assert caplog.messages == ["READY cannot be sent to systemd: No such file or directory"]


@pytest.mark.slow
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
def test_the_watchdog_counts_if_it_is_for_this_process(
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


def test_pings_come_while_all_loops_go_on_and_stop_when_one_is_stuck(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    monitor = LoopMonitor(
        Notifier(manager.address, watchdog_seconds=40), {"main": 5, "watcher": 30}, now=0
    )
    for second in range(60):
        monitor.beat("main", second)
        if second < 20:
            monitor.beat("watcher", second)
        monitor.tend(second)
    assert (
        manager.received() == ["WATCHDOG=1"] * 5
    )  # at 0, 10, 20, 30, 40; the watcher is stuck from 50 on
    assert monitor.stuck(59) == ["watcher"]
    assert caplog.messages == ["stuck, systemd will soon end the daemon: watcher"]
    monitor.beat("watcher", 60)
    monitor.tend(60)
    assert manager.received() == ["WATCHDOG=1"]
    manager.socket.close()


def test_without_a_watchdog_nothing_is_pinged(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    LoopMonitor(Notifier(manager.address), {"main": 5}, now=0).tend(1)
    assert manager.received() == []
    manager.socket.close()


@pytest.mark.slow
def test_the_daemon_sends_that_it_is_ready_alive_and_stopping(
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
            _, log = daemon.communicate(timeout=SLOWEST)
            assert (daemon.returncode, "Traceback" in log) == (0, False)
        finally:
            daemon.kill()

"""The service's files, as systemd's own tools judge them."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
VIDWATCH = Path(sys.executable).with_name("vidwatch")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)


DROP_INS = {
    "with a GPU": "gpu.conf",
    "with metrics": "metrics.conf",
    "with the network": "network.conf",
}


@pytest.fixture(params=["as it is", *DROP_INS])
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit with a program that is there, since verify looks for it."""
    unit = tmp_path / "vidwatch.service"
    text = (DEPLOY / unit.name).read_text()
    assert "ExecStart=/opt/vidwatch/venv/bin/vidwatch run\n" in text
    unit.write_text(text.replace("/opt/vidwatch/venv/bin/vidwatch", str(VIDWATCH)))
    if drop_in := DROP_INS.get(request.param):
        (tmp_path / "vidwatch.service.d").mkdir()
        shutil.copy(DEPLOY / drop_in, tmp_path / "vidwatch.service.d")
    return unit


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    done = analyze("verify", "--recursive-errors=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# What begins, slows down and ends a command that is run at an event.
CALLS_OF_COMMANDS = {"clone", "clone3", "vfork", "execve", "setsid", "prctl", "setpriority", "kill"}
CALLS_OF_COMMANDS |= {"pidfd_open", "poll", "wait4", "rt_sigaction", "pipe2", "dup2", "ftruncate"}
CALLS_OF_NETWORK = {"socket", "connect", "sendto", "recvfrom", "shutdown", "getsockopt"}


def calls_of(group: str) -> set[str]:
    """The system calls of a group, and of the groups in it."""
    found = set()
    for line in analyze("syscall-filter", group).stdout.splitlines()[1:]:
        name = line.strip()
        if name.startswith("@"):
            found |= calls_of(name)
        elif name and not name.startswith("#"):
            found.add(name)
    return found


def test_the_unit_lets_commands_run_and_receivers_be_reached() -> None:
    lines = re.findall(
        r"^SystemCallFilter=(~?)(.*)$", (DEPLOY / "vidwatch.service").read_text(), re.M
    )
    allowed = set[str]()
    for sign, names in lines:
        for name in names.split():
            calls = calls_of(name) if name.startswith("@") else {name}
            allowed = allowed - calls if sign else allowed | calls
    assert len(allowed) > 100
    assert (CALLS_OF_COMMANDS | CALLS_OF_NETWORK) - allowed == set()


def test_the_service_is_exposed_no_more_than_was_promised(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", unit)
    (level,) = re.findall(r"Overall exposure level for vidwatch.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0, done.stdout
    assert float(level) <= 2.0

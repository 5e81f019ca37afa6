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


DROP_INS = {"with a GPU": "gpu.conf", "with metrics": "metrics.conf"}


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


def test_the_service_is_exposed_no_more_than_was_promised(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", unit)
    (level,) = re.findall(r"Overall exposure level for vidwatch.service: ([\d.]+)", done.stdout)
    assert done.returncode == 0, done.stdout
    assert float(level) <= 2.0

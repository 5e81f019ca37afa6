"""The log in systemd's journal and in a file, from a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import logging, warnings
from pathlib import Path
from daemon.home.folder import Home
from daemon.service.terminal import shown
with shown(Home.at("home")):
    log = logging.getLogger("part")
    log.info("watching")
    log.warning("no events")
    warnings.warn("old")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("a loop died")
    log.critical("the end")
"""


def logged(path: Path, is_journal: bool) -> list[str]:
    (path.parent / "home").mkdir()
    with path.open("wb") as file:
        where = os.fstat(file.fileno())
        stream = f"{where.st_dev}:{where.st_ino if is_journal else 1}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stderr=file,
            check=True,
            cwd=path.parent,
            env={**os.environ, "JOURNAL_STREAM": stream},
        )
    return path.read_text().splitlines()


@pytest.mark.slow
def test_in_the_journal_each_line_has_its_level_and_no_time(tmp_path: Path) -> None:
    lines = logged(tmp_path / "journal", is_journal=True)
    assert lines[:2] == ["<6>INFO watching", "<4>WARNING no events"]
    assert lines[2].startswith("<4>WARNING <string>:")
    traceback = lines[lines.index("<3>ERROR a loop died") : -1]
    assert traceback[1] == "<3>Traceback (most recent call last):"
    assert traceback[-1] == "<3>ZeroDivisionError: division by zero"
    assert all(line.startswith("<3>") for line in traceback)
    assert lines[-1] == "<2>CRITICAL the end"


@pytest.mark.slow
def test_in_a_file_each_line_has_its_time(tmp_path: Path) -> None:
    lines = logged(tmp_path / "log", is_journal=False)
    assert lines[0].endswith(" INFO watching")
    assert lines[0][:2] == "20"


@pytest.mark.slow
def test_the_home_keeps_the_log_unless_the_journal_has_it(tmp_path: Path) -> None:
    logged(tmp_path / "log", is_journal=False)
    kept = (tmp_path / "home/logs/vidwatch.log").read_text().splitlines()
    assert kept[0].endswith(" INFO watching")
    assert kept[-1].endswith(" CRITICAL the end")
    assert "    ZeroDivisionError: division by zero" in kept
    other = tmp_path / "other"
    other.mkdir()
    logged(other / "journal", is_journal=True)
    assert not (other / "home/logs/vidwatch.log").exists()

"""The log that the daemon keeps in its home, and what `vidwatch logs` shows of it."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.cli.running import _time_or_ago
from daemon.home import logs
from daemon.home.logs import LogFile, Unit, log_files, note_unit, read_unit
from daemon.report.log import last_lines, new_lines
from learner.errors import VidwatchError

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LogFile]:
    file = LogFile(tmp_path / "logs")
    yield file
    file.close()


def write(file: LogFile, text: str, at: float = 1_770_000_000.0) -> None:
    record = logging.makeLogRecord({"msg": text, "levelname": "INFO", "created": at})
    file.handle(record)


def test_lines_have_no_control_characters_and_none_looks_like_another_entry(
    file: LogFile, tmp_path: Path
) -> None:
    write(file, "a\x1b[31mred\n2026-01-01 00:00:00+0000 INFO forged\rb")
    lines = last_lines(tmp_path / "logs", None, None)
    assert lines[0].endswith(r" INFO a\x1b[31mred" + "\n")
    assert lines[1].startswith("    2026-01-01")
    assert "\r" not in "".join(lines)


def test_full_files_are_kept_up_to_a_number_and_read_in_their_order(
    file: LogFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.maxBytes = 200
    for number in range(100):
        write(file, f"line {number}")
    assert len(log_files(tmp_path / "logs")) == 1 + logs.KEPT
    assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) <= 5 * 200
    numbers = [int(line.split()[-1]) for line in last_lines(tmp_path / "logs", None, None)]
    assert numbers == list(range(numbers[0], 100))
    assert len(numbers) > 10
    assert [line.split()[-1] for line in last_lines(tmp_path / "logs", 2, None)] == ["98", "99"]


def test_what_was_logged_since_a_time(file: LogFile, tmp_path: Path) -> None:
    write(file, "old\nand more", at=1_770_000_000)
    write(file, "new\nand more", at=1_770_000_100)
    since = datetime.fromtimestamp(1_770_000_100, UTC)
    lines = last_lines(tmp_path / "logs", None, since)
    assert [line.split()[-1] for line in lines] == ["new", "more"]


def test_new_lines_are_followed_into_the_next_file(file: LogFile, tmp_path: Path) -> None:
    file.maxBytes = 400
    write(file, "before")
    following = new_lines(tmp_path / "logs")
    found: list[str] = []
    first = threading.Event()

    def follow() -> None:
        write_later.start()
        for line in islice(following, 50):
            found.append(line.split()[-1])

    def write_all() -> None:
        first.wait(0.5)
        for number in range(50):
            write(file, f"{number}")
            if number % 5 == 0:
                threading.Event().wait(0.4)

    write_later = threading.Thread(target=write_all)
    follow()
    write_later.join()
    assert found == [str(number) for number in range(50)]


def test_what_cannot_be_written_is_no_error(
    file: LogFile, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs/vidwatch.log").mkdir()
    write(file, "lost")
    assert capfd.readouterr().err == ""


def test_the_unit_is_noted_and_nothing_else_is_taken_for_one(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    assert read_unit(folder) is None
    for unit in (Unit("vidwatch.service", False), Unit("vidwatch@cam-1.service", True)):
        note_unit(folder, unit)
        assert read_unit(folder) == unit
    for text in ("--flush", "a b.service", "x.service\n--rotate", ""):
        (folder / "unit").write_text(text)
        assert read_unit(folder) is None
    note_unit(folder, None)
    assert list(folder.iterdir()) == []


def shown(home: MadeHome, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [VIDWATCH, "--home", str(home.root), "logs", *words]
    variables = {**os.environ, **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_the_command_shows_the_file_or_has_the_journal_shown(tmp_path: Path) -> None:
    home = MadeHome(tmp_path / "home")
    home.close()
    none = shown(home)
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
    assert "there is no log in" in none.stderr
    file = LogFile(home.home.logs)
    for number in range(200):
        write(file, f"line {number}")
    file.close()
    assert len(shown(home).stdout.splitlines()) == 100
    assert shown(home, "-n", "1").stdout.endswith("INFO line 199\n")
    assert shown(home, "--since", "1s").stdout == ""
    # A journalctl that prints how it was called.
    tool = tmp_path / "bin/journalctl"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho "$@"\n')
    tool.chmod(0o755)
    note_unit(home.home.logs, Unit("vidwatch.service", False))
    path = f"{tool.parent}:{os.environ['PATH']}"
    said = shown(home, "--follow", "--since", "2026-01-01T00:00Z", PATH=path).stdout
    assert said == (
        "--unit=vidwatch.service --no-pager --output=short-iso --since=@1767225600 --follow\n"
    )
    missing = shown(home, PATH="/nowhere")
    assert (missing.returncode, "journalctl --unit=vidwatch.service" in missing.stderr) == (2, True)


def test_what_is_no_time_is_answered_by_all_forms() -> None:
    with pytest.raises(VidwatchError) as error:
        _time_or_ago("yesterday")
    text = "--since: 'yesterday' is no time; examples: 20:00, 2026-12-24"
    assert str(error.value).startswith(text)
    assert "or how long ago: 30m, 2h" in str(error.value)

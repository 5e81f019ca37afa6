"""Progress goes to stderr, and never into what a program reads."""

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
from homes import MadeHome

from daemon.cli import progress
from daemon.cli.progress import Lines, classifying

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = MadeHome(tmp_path / "home")
    made.arrive("a.avi")
    made.predict_and_file()
    made.close()
    return made.root


def in_terminal(code: str) -> tuple[bytes, bytes]:
    """What Python code writes to stdout, a pipe, and to stderr, a terminal."""
    terminal, inner = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=inner, env=environment
    )
    os.close(inner)
    out, _ = process.communicate(timeout=300)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # all was read
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    return out, shown


def test_results_go_into_the_pipe_while_a_bar_is_in_the_terminal() -> None:
    code = "from daemon.cli import progress\n"
    code += "with progress.reading('looking') as show:\n    print('a result')\n    show(1, 2)\n"
    out, shown = in_terminal(code)
    assert out == b"a result\n"
    assert b"looking" in shown
    assert b"a result" not in shown


def test_without_a_terminal_a_line_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    with progress.reading("looking at files") as show:
        show(1, None)
        time.sleep(0.06)
        show(2, None)
        show(3, 9)
    with progress.working("copying"):
        time.sleep(0.3)
    with progress.working("too short to be said"):
        pass
    out, error = capsys.readouterr()
    assert (out, error.splitlines()) == ("", ["looking at files: 2", "copying"])


@pytest.mark.slow
@pytest.mark.of_sqlite
@pytest.mark.parametrize("command", ["status", "labels", "models", "classes", "check", "backup"])
def test_in_a_pipe_nothing_is_coloured(home: Path, command: str) -> None:
    environment = {**os.environ, "VIDWATCH_HOME": str(home), "TERM": "xterm-256color"}
    environment.pop("FORCE_COLOR", None)
    done = subprocess.run([VIDWATCH, command], capture_output=True, env=environment)
    assert done.returncode in (0, 1), done.stderr
    assert b"\x1b" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.of_sqlite
def test_no_color_is_honoured_in_a_terminal(home: Path) -> None:
    def shown(**more: str) -> bytes:
        terminal, inner = pty.openpty()
        environment = {**os.environ, "VIDWATCH_HOME": str(home), "TERM": "xterm-256color", **more}
        subprocess.run([VIDWATCH, "status"], stdout=inner, stderr=inner, env=environment)
        os.close(inner)
        found = os.read(terminal, 65536)
        os.close(terminal)
        return found

    assert b"\x1b[1;31mnot running" in shown()
    assert b"31m" not in shown(NO_COLOR="1")


def test_a_line_now_and_then_says_how_far_how_fast_and_how_long() -> None:
    lines = Lines(0.0)
    assert lines.next(5, 100, 10_000, 29.0) is None
    assert lines.next(17, 1000, 10_000, 30.0) == (
        "1,017 of 10,000 files, 34 a minute, about 4 h left"
    )
    assert lines.next(20, 1000, 10_000, 59.0) is None
    assert lines.next(35, 1000, None, 60.0) == "1,035 files, 35 a minute"
    assert lines.next(3_000, 1000, 4_010, 90.0) == (
        "4,000 of 4,010 files, 2,000 a minute, about 1 min left"
    )


def test_only_the_last_minutes_count_for_the_speed() -> None:
    lines = Lines(0.0)
    for at in range(1, 40):
        line = lines.next(1000, 0, 2000, at * 30.0)
    assert line == "1,000 of 2,000 files, 0 a minute"


def test_lines_go_where_no_bar_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with classifying() as show:
        show(3, 4, 10)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("7 of 10 files, ")
    assert said.err.count("\n") == 1

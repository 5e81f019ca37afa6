"""What commands print: in terminals of any width and encoding, and in a pipe. Real terminals."""

import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome
from rich.cells import cell_len

VIDWATCH = Path(sys.executable).with_name("vidwatch")
LONG = "v_HandstandWalking_a very long name [of] a camera_2024-01-31T12.34.56_g08_c05.avi"
NAMES = ("cam1/00.avi", "cam2/00.avi", LONG, "20240131", "Bär.avi")
LISTS = (["status"], ["labels"], ["classes"], ["groups"], ["models"])
WIDTHS = (40, 60, 80, 120)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeHome]:
    """A home named as people name folders, with clips that are filed, labelled, failed."""
    made = MadeHome(tmp_path_factory.mktemp("x") / "Bär [a]" / ("a long folder " * 4).strip())
    for name in NAMES:
        path = made.put(f"inbox/{name}", name)
        source = name.rpartition("/")[0] or None
        made.queue.enqueue([made.found(path)._replace(source=source)], made.now)
    made.predict_and_file(made.model_prediction("Biking", 0.875))
    made.fail("broken_[x].mp4", "cut short: " + "a long reason that goes on and on " * 4)
    for video in (1, 2, 3):
        made.give_label(video, "Skiing")
    yield made
    made.close()


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**kept, "TERM": "xterm-256color", "NO_COLOR": "1", **more}


def piped(made: MadeHome, *words: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    command = [VIDWATCH, "--home", made.root, *words]
    return subprocess.run(command, capture_output=True, env=environment(**more), timeout=120)


def in_terminal(made: MadeHome, columns: int, *words: str) -> str:
    """What a command writes to a terminal of this width, without what only a terminal sees."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [VIDWATCH, "--home", made.root, *words]
    process = subprocess.Popen(command, stdout=its, stderr=its, env=environment())
    os.close(its)
    written = b""
    while select.select([ours], [], [], 120)[0]:
        try:
            written += os.read(ours, 65536)
        except OSError:  # it has ended
            break
    os.close(ours)
    assert process.wait(60) == 0, written
    text = written.decode().replace("\r\n", "\n")
    return "".join(
        part.partition("m")[2] if at else part for at, part in enumerate(text.split("\x1b["))
    )


def squeezed(text: str) -> str:
    """Without what lines are wrapped and framed with."""
    return "".join(character for character in text if character not in " \n│")


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_no_line_is_wider_than_the_terminal_and_nothing_is_cut(
    made: MadeHome, words: list[str], width: int
) -> None:
    shown = in_terminal(made, width, *words)
    # A sentence that is no row of a table is wrapped by the terminal itself.
    rows = [line for line in shown.splitlines() if "  " in line.strip()]
    assert max(map(cell_len, rows), default=0) <= width
    assert "…" not in shown
    if words == ["status"]:
        for name in (*NAMES, "broken_[x].mp4", str(made.root)):
            assert squeezed(name) in squeezed(shown)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_row_begins_with_what_identifies_it_whole_if_that_fits(
    made: MadeHome, width: int
) -> None:
    lines = in_terminal(made, width, "status").splitlines()
    assert any(line.startswith(" 1  cam1/00.avi") for line in lines)
    assert any(line.startswith(" 2  cam2/00.avi") for line in lines)
    # In a narrow terminal, the other columns stand below their row.
    (at,) = (n for n, line in enumerate(lines) if line.startswith(" 1  cam1/00.avi"))
    beside = "Skiing" in lines[at]
    assert beside == (width == 120)
    assert "87.5%" in " ".join(lines[at : at + 3])


@pytest.mark.slow
@pytest.mark.parametrize("columns", ["40", ""])
def test_grep_finds_a_whole_row_in_a_pipe(made: MadeHome, columns: str) -> None:
    more = {"COLUMNS": columns} if columns else {}
    lines = piped(made, "status", **more).stdout.decode().splitlines()
    for name in NAMES:
        (row,) = (line for line in lines if name in line)
        assert "Biking" in row
        assert "87.5%" in row
    (failed,) = (line for line in lines if "broken_[x].mp4" in line)
    assert "goes on and on" in failed
    assert any(str(made.root) in line for line in lines)
    # One long text makes no other line long.
    assert all(line == line.rstrip() for line in lines)
    assert all(len(line) <= 140 for line in lines if "20240131 " in line or "filed" in line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=["C", "ascii", "ascii by the locale"],
)
@pytest.mark.parametrize(
    "words",
    [
        ["status"], ["status", "--json"], ["labels"], ["classes"], ["groups"], ["models"],
        ["recipes"], ["backbones"], ["doctor"], ["check", "--quick"], ["cache"], ["--help"],
        ["label", "--help"], ["backup"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_an_encoding_cannot_show_is_escaped(
    made: MadeHome, words: list[str], more: dict[str, str]
) -> None:
    done = piped(made, *words, **more)
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 1)
    if "PYTHONIOENCODING" in more:
        assert done.stdout.isascii()
        if words == ["status"]:
            assert rb"B\xe4r.avi" in done.stdout


@pytest.mark.slow
def test_a_file_name_that_is_no_text_is_shown_by_all_commands(tmp_path: Path) -> None:
    with_bytes = tmp_path / os.fsdecode(b"\xff [b]")
    made = MadeHome(with_bytes)
    made.arrive(os.fsdecode(b"clip\xfe.avi"), "content")
    made.predict_and_file()
    made.close()
    for words in (["status"], ["check", "--quick"], ["doctor"], ["init"], ["backup"], ["cache"]):
        done = piped(made, *words)
        assert b"Traceback" not in done.stderr, words
    assert rb"\xff [b]" in piped(made, "status").stdout


@pytest.mark.slow
def test_json_keeps_times_in_utc_with_their_offset(made: MadeHome) -> None:
    found = json.loads(piped(made, "status", "--json", TZ="Asia/Tokyo").stdout)
    assert {video["at"] for video in found["recent"]} == {"2026-01-02T00:00:00+00:00"}


@pytest.mark.slow
def test_times_in_tables_are_in_the_persons_zone_and_name_it(made: MadeHome) -> None:
    from daemon.training.decisions import Decisions

    decisions = Decisions(made.engine)
    decisions.apply_setting("starter", made.now)
    decisions.choose("auto-1", made.now)
    assert "2026-01-02 09:00 JST" in piped(made, "models", TZ="Asia/Tokyo").stdout.decode()
    assert "2026-01-01 14:00 HST" in piped(made, "models", TZ="Pacific/Honolulu").stdout.decode()

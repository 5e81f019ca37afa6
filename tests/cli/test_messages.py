"""What commands say, and to whom: to a person at a terminal, or to a program."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import MadeHome

from learner.catalogue import STARTER

VIDWATCH = Path(sys.executable).with_name("vidwatch")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[MadeHome]:
    home = MadeHome(tmp_path / "home")
    yield home
    home.close()


def run(home: MadeHome, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VIDWATCH, "--home", home.root, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "VIDWATCH_DEVICE": "cpu", "COLUMNS": "200"},
    )


def run_in_terminal(home: MadeHome, *words: str) -> str:
    """What a person sees of a command."""
    screen, terminal = pty.openpty()
    command = [VIDWATCH, "--home", home.root, *words]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        try:
            while some := os.read(screen, 4096):
                seen += some
        except OSError:  # it has ended
            pass
        process.wait()
    os.close(screen)
    return seen.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["models promote none", "rescore --model none", "classify --model none x.avi"]
)
def test_who_names_no_model_learns_which_command_lists_them(home: MadeHome, command: str) -> None:
    done = run(home, *command.split())
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "there is no model 'none'" in done.stderr
    assert "'vidwatch models' lists them" in done.stderr


@pytest.mark.slow
def test_what_several_models_share_is_said_once(home: MadeHome) -> None:
    why = "optimistic, since nothing tells which clips show the same recording"
    for name in ("auto-1", "auto-2", "mine"):
        document = json.loads(STARTER.with_suffix(".json").read_text())
        document["measured"]["optimistic"] = why if name != "mine" else "optimistic, by luck"
        (home.home.models / f"{name}.json").write_text(json.dumps(document))
        (home.home.models / f"{name}.safetensors").touch()
    lines = run(home, "models").stdout.splitlines()
    assert f"auto-1, auto-2: their accuracy is {why}" in lines
    assert "mine: its accuracy is optimistic, by luck" in lines
    assert sum(why in line for line in lines) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["check"], "reading clips"),
        (["backup"], "copying and checking the database"),
        (["restore"], "reading clips"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_may_take_long_shows_progress_on_a_terminal_only(
    home: MadeHome, words: list[str], what: str
) -> None:
    for number in range(30):
        home.arrive(f"{number}.avi")
    home.predict_and_file()
    assert run(home, "backup").returncode == 0
    assert what in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run_in_terminal(home, *words))
    done = run(home, *words)
    assert what not in done.stdout + done.stderr

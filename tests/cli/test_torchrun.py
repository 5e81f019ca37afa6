"""`vidwatch train` under torchrun prints what one process would, once."""

import os
import subprocess
from pathlib import Path

import pytest
from installed import VIDWATCH
from several import torchrun
from tiny import cache as cache
from tiny import class_folders

from daemon.cli.torchrun import LATER, speaking_once
from learner.errors import VidwatchError

RECIPE = """
about = "for tests"
start = "scratch"
clip = {frames = 4, size = 32}
network = {backbone = "custom_2conv", hidden = 8, norm = "none", dropout = 0.0, skip = false}
training = {freeze = false, epochs = 2, batch = 4, folds = 0}
"""


def by_two(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """As docs/training.md has it."""
    return subprocess.run(
        [*torchrun(), "--no-python", str(VIDWATCH), "train", str(folder / "data"), *words],
        env={**os.environ, "VIDWATCH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_two_processes_train_one_model_and_one_of_them_prints(tmp_path: Path, cache: Path) -> None:
    class_folders(tmp_path / "data", groups=5)
    (tmp_path / "mine.toml").write_text(RECIPE)
    words = ("--recipe", str(tmp_path / "mine.toml"), "--out", str(tmp_path / "m"))
    ended = by_two(tmp_path, *words, "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("saved as") == 1
    assert [ended.stderr.count(f"epoch {number}: ") for number in (1, 2, 3)] == [1, 1, 0]
    assert (tmp_path / "m.safetensors").is_file()


@pytest.mark.slow
def test_an_error_of_both_processes_is_printed_once(tmp_path: Path, cache: Path) -> None:
    ended = by_two(class_folders(tmp_path / "data").parent, "--device", "cpu")
    assert ended.returncode != 0
    assert ended.stderr.count("vidwatch: recipe 'default' trains a head alone") == 1


@pytest.mark.parametrize(
    ("rank", "error", "waits"),
    [
        ("0", VidwatchError("no clips"), False),
        ("1", VidwatchError("no clips"), True),
        ("0", RuntimeError("connection closed by peer"), True),
        (None, VidwatchError("no clips"), False),
        (None, RuntimeError("a bug"), False),
    ],
    ids=str,
)
def test_what_another_process_may_say_first_waits(
    rank: str | None, error: Exception, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    if rank is not None:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(type(error)), speaking_once():
        raise error
    assert waited == [LATER] * waits

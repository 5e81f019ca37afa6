"""`make` in a folder that was moved: its environment has the old paths in it."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def planned(folder: Path) -> str:
    """What `make run` would do."""
    command = ["make", "--dry-run", "run"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder whose environment was installed, as far as `make` can tell."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    folder = tmp_path / "my [vidwatch]"
    scripts = folder / ".venv/bin"
    scripts.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    # So pip writes it where a path has a space in it; else there is "#!" before the path.
    (scripts / "pip").write_text(f'#!/bin/sh\n\'\'\'exec\' "{scripts}/python3" "$0" "$@"\n')
    for name in (".venv/bin/python", ".venv/.installed"):
        (folder / name).touch()
    return folder


def test_an_environment_that_fits_is_used(checkout: Path) -> None:
    steps = planned(checkout)
    assert "pip" not in steps
    assert ".venv/bin/vidwatch run" in steps
    assert "Put videos into" in steps


def test_that_of_a_moved_folder_is_made_anew_and_says_so(checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("elsewhere"))
    steps = planned(moved)
    assert "this folder was moved or copied" in steps
    assert "venv --clear .venv" in steps
    assert "pip install -e ." in steps

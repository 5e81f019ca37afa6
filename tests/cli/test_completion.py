"""What a shell completes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from homes import MadeHome

VIDWATCH = Path(sys.executable).with_name("vidwatch")


def completed(home: Path, line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = f"vidwatch --home {home} {line}"
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    environment = {**os.environ, **asked, "_VIDWATCH_COMPLETE": "complete_bash"}
    done = subprocess.run([VIDWATCH], capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two videos, one of them labelled, and a model."""
    made = MadeHome(tmp_path_factory.mktemp("completion"))
    for name in ("den-1.avi", "den-2.avi"):
        made.arrive(name)
    made.predict_and_file()
    made.give_label(1, "Badger")
    (made.home.models / "birds.json").write_text("{}")
    made.close()
    return made.root


@pytest.mark.of_sqlite
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stat", ["status"]),
        ("models pro", ["promote"]),
        ("label den-1.avi Ba", ["Badger"]),
        ("show den", ["den-1.avi", "den-2.avi"]),
        ("find B", ["Badger", "bar"]),
        ("models promote b", ["birds"]),
        ("search --class Ba", ["Badger"]),
        ("train --engine r", ["ray"]),
    ],
)
def test_commands_classes_videos_and_models_are_completed(
    home: Path, line: str, expected: list[str]
) -> None:
    offered = completed(home, line)
    assert set(offered) & set(expected) == {one for one in expected if one != "bar"}


@pytest.mark.slow
def test_where_there_is_no_home_nothing_is_offered_and_nothing_is_said(tmp_path: Path) -> None:
    for line in ("label 1 B", "show d", "find B"):
        assert completed(tmp_path, line) == []
    assert completed(tmp_path, "models promote s") == ["starter"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.of_sqlite
def test_a_damaged_database_says_nothing(tmp_path: Path) -> None:
    made = MadeHome(tmp_path / "home")
    made.close()
    (made.root / "vidwatch.db").write_bytes(b"no database" * 100)
    assert completed(made.root, "find B") == []

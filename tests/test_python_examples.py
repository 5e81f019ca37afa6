"""The examples of docs/python.md and of the README run, and print what stands below them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import write_video
from homes import MadeHome

from daemon.export.columns import documented
from daemon.export.records import LABELS, PREDICTIONS

ROOT = Path(__file__).parents[1]
PYTHON = (ROOT / "docs/python.md").read_text()
# Code, and what it prints if that is said.
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MadeHome]:
    """A home in `~/vidwatch` with two videos, one of which is labelled; and a clip beside it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "clip.mp4")
    (tmp_path / "notes.txt").write_text("no video")
    home = MadeHome(tmp_path / "vidwatch")
    home.arrive("a.mp4")
    labelled = home.arrive("cam1/b.mp4")
    with home.writing() as connection:
        connection.exec_driver_sql(f"UPDATE videos SET source = 'cam1' WHERE id = {labelled}")
    home.predict_and_file()
    home.give_label(labelled, "Skiing")
    yield home
    home.close()


def test_the_examples_run_and_print_what_stands_there(
    home: MadeHome, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = EXAMPLE.findall(PYTHON)
    assert examples
    names: dict[str, object] = {}
    for code, printed in examples:
        if "polars" in code:
            pytest.importorskip("polars")
        exec(code, names)
        output = capsys.readouterr().out
        assert output
        if printed:
            assert output == printed


def test_the_tables_of_records_are_documented() -> None:
    for of in (PREDICTIONS, LABELS):
        assert documented(of) in PYTHON

"""The table of `make gpu`, and that it needs neither `daemon` nor pytest."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
# What vidwatch needs and `learner` does not.
OTHERS = ["daemon", "pytest", "sqlalchemy", "alembic", "typer", "rich", "starlette", "watchdog"]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    from gpu_table import Table

    return Table()


def test_a_row_that_misses_its_aim_has_failed(table: Any) -> None:
    table.figure("rate", 8, "clips/s", "alone", 10, "≥ 0.7")
    table.figure("rate", 6, "clips/s", "alone", 10, "≥ 0.7")
    table.figure("rate", 6, "clips/s", "alone", 10)
    table.difference("features", 0.01, "on the CPU", 0.05)
    table.difference("features", float("nan"), "on the CPU", 0.05)
    table.fact("device", "cpu", "asked for", "cuda")
    verdicts = [row.verdict for row in table.rows]
    assert verdicts == ["ok", "FAILED", "", "ok", "FAILED", "FAILED"]
    assert table.failed == 3
    assert table.markdown().count("\n") == 1 + len(verdicts)


def test_a_part_that_raises_is_a_row_and_a_missing_package_another(table: Any) -> None:
    with table.section("decode"):
        import no_such_package  # noqa: F401
    with table.section("fit"):
        raise RuntimeError("CUDA error: unknown\nmore")
    first, second = table.rows
    assert (first.part, first.verdict) == ("decode", "n/a")
    assert "no_such_package" in first.baseline
    assert (second.part, second.verdict) == ("fit", "FAILED")
    assert second.figure == "RuntimeError: CUDA error: unknown"


@pytest.mark.slow
def test_it_runs_where_vidwatch_is_not_installed(tmp_path: Path) -> None:
    block = f"import sys\nsys.modules.update(dict.fromkeys({OTHERS!r}))\n"
    (tmp_path / "sitecustomize.py").write_text(block)
    command = [sys.executable, "tests/gpu/check_gpu.py", "--device", "cpu"]
    command += ["--only", "load", "fold", "shape", "--json", str(tmp_path / "rows.json")]
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["verdict"] for row in rows} <= {"ok", ""}
    assert {row["part"] for row in rows} == {"load", "fold", "shape"}

"""No file that vidwatch reads can run code: looked for in the source, and tried with files that
would.

And no library that it is made of has a hole that a newer one mends, where somebody can be asked.
"""

import ast
import importlib.util
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from learner.cache import Cache
from learner.checkpoint import load
from learner.errors import VidwatchError
from learner.weights import load_weights

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for package in ("daemon", "learner", "migrations")
    for path in (ROOT / package).rglob("*.py")
)
CAN_RUN_CODE = {
    "pickle",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
    "shelve",
    *("multiprocessing", "pebble"),  # they unpickle what a child sends
    "marshal",
    "yaml",
    "pandas",
}
CALLS_THAT_RUN_CODE = {
    *("eval", "exec", "compile", "os.system", "os.popen"),
    *(
        "torch.hub.load",
        "torch.jit.load",
        "torch.package.PackageImporter",
        "torch.hub.load_state_dict_from_url",
    ),
}


def calls(tree: ast.AST) -> Iterator[tuple[str, dict[str | None, ast.expr]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg: keyword.value for keyword in node.keywords}


def attributes(tree: ast.AST) -> str:
    """The names of all attributes that a source uses, in one text."""
    return " ".join(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))


def is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_reads_what_could_run_code(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }
    # A home is given to pandas as records: pandas reads no file.
    makes_tables = (
        {"pandas"} if path.name == "client.py" and "read_" not in attributes(tree) else set()
    )
    assert imported & CAN_RUN_CODE <= {"pickle"} | makes_tables
    # Of pickle, the name of its error alone: PyTorch raises it at a file that is none of its own.
    of_pickle = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    allowed = {"pickle.UnpicklingError"}
    if path.parent == ROOT / "daemon" / "backfill":  # between Ray's workers, which pickle all else
        allowed |= {"pickle.dumps", "pickle.loads"}
    assert {name for name in of_pickle if name.startswith("pickle.")} <= allowed
    for name, keywords in calls(tree):
        assert name not in CALLS_THAT_RUN_CODE
        assert not is_true(keywords.get("shell"))
        assert not is_true(keywords.get("trust_remote_code"))
        if name == "torch.load":
            assert is_true(keywords.get("weights_only"))
        if name in ("np.load", "numpy.load"):
            assert "allow_pickle" not in keywords


class Bomb:
    """What, unpickled, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    bomb = Bomb(tmp_path / "went-off")
    yield bomb
    assert not bomb.folder.exists()
    pickle.loads(pickle.dumps(bomb))
    assert bomb.folder.exists(), "it would have"


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("is_torch", [True, False])
def test_weights_that_hold_code_are_refused_and_run_nothing(
    tmp_path: Path, bomb: Bomb, suffix: str, is_torch: bool
) -> None:
    path = tmp_path / f"weights{suffix}"
    if is_torch:
        torch.save({"weight": bomb}, path)
    else:
        path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(VidwatchError, match="not a whole file of weights"):
        load_weights(torch.nn.Linear(1, 1), path)


def test_a_model_that_holds_code_is_refused_and_runs_nothing(tmp_path: Path, bomb: Bomb) -> None:
    (tmp_path / "mine.json").write_bytes((ROOT / "learner/starter.json").read_bytes())
    torch.save({"weight": bomb}, tmp_path / "mine.safetensors")
    with pytest.raises(VidwatchError):
        load(tmp_path / "mine")
    save_file({"weight": torch.zeros(1)}, tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_bytes(pickle.dumps(bomb))
    with pytest.raises(VidwatchError):
        load(tmp_path / "mine")


def test_cached_features_that_hold_code_run_nothing(tmp_path: Path, bomb: Bomb) -> None:
    shelf = Cache(tmp_path / "cache").shelf("features", "key")
    shelf.put("clip", np.array([bomb], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        shelf.get("clip")


def test_no_library_has_a_known_hole_that_a_newer_one_mends() -> None:
    if not importlib.util.find_spec("pip_audit"):
        pytest.skip("needs pip-audit")
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--skip-editable",
        "--progress-spinner=off",
        "--format=json",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    libraries = json.loads(done.stdout)["dependencies"] if done.stdout else []
    if not (known := {one["name"]: one["vulns"] for one in libraries if "vulns" in one}):
        pytest.skip("needs the list of known vulnerabilities, from the network")
    mended = {
        name: [hole["id"] for hole in holes if hole["fix_versions"]]
        for name, holes in known.items()
    }
    assert {name: holes for name, holes in mended.items() if holes} == {}

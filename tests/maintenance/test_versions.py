"""What `vidwatch version` says, for a report of a problem."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from daemon.maintenance import versions

VIDWATCH = Path(sys.executable).with_name("vidwatch")


def test_it_tells_versions_and_hardware_and_no_path() -> None:
    found = versions.read_versions()
    assert found["vidwatch"] == version("vidwatch")
    assert found["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert found["libraries"]["torch"] == version("torch")
    assert re.fullmatch(r"\d+(\.\d+)+", found["ffmpeg"])
    text = json.dumps(found)
    assert str(Path.home()) not in text
    assert os.uname().nodename not in text


def test_cuda_is_that_which_pytorch_was_built_for() -> None:
    import torch

    assert versions.read_versions()["cuda"] == torch.version.cuda


def test_gpus_are_named_by_their_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "NVIDIA", tmp_path)
    assert versions.read_versions()["gpu"] == []
    for number, model in enumerate(("NVIDIA H200", "NVIDIA T4")):
        folder = tmp_path / f"gpus/0000:0{number}:00.0"
        folder.mkdir(parents=True)
        (folder / "information").write_text(f"Model: \t\t {model}\nIRQ:   \t\t 0\n")
    line = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
    (tmp_path / "version").write_text(line)
    found = versions.read_versions()
    assert (found["gpu"], found["gpu_driver"]) == (["NVIDIA H200", "NVIDIA T4"], "580.95.05")


@pytest.mark.slow
def test_the_command_prints_a_table_and_json() -> None:
    shown = subprocess.run([VIDWATCH, "version"], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[0].split() == ["vidwatch", version("vidwatch")]
    assert max(map(len, shown.stdout.splitlines())) < 120
    done = subprocess.run([VIDWATCH, "version", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout) == versions.read_versions()

"""The first hour of the docs, lived through: each command as it stands there, on drawn clips."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from draw_clips import write_clip
from installed import VIDWATCH
from pages_of_docs import ROOT

PAGE = ROOT / "docs" / "first-hour.md"
STEP = re.compile(r"<!-- until (.+?) prints (.+?) -->|^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATIENCE = 600.0  # seconds, on a busy machine
pytestmark = pytest.mark.slow


class Person:
    """Somebody with clips of deer and cars, and a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = f"{VIDWATCH.parent}{os.pathsep}{os.environ['PATH']}"
        given = {key: value for key, value in os.environ.items() if not key.startswith("VIDWATCH")}
        mine = {"HOME": str(folder), "PATH": path, "COLUMNS": "160", "VIDWATCH_DEVICE": "cpu"}
        self.environment = {**given, **mine}
        for kind in ("deer", "car"):
            for number in range(10):
                write_clip(folder / "clips" / kind / f"{kind}{number}.mp4", kind, number)
            for number in range(10, 13):
                write_clip(folder / "new" / f"{kind}{number}.mp4", kind, number)

    def gives(self, commands: str) -> str:
        """What the commands print; they all have to succeed."""
        done = subprocess.run(
            ["bash", "-ec", commands],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stderr}"
        return done.stdout

    def waits(self, command: str, text: str) -> None:
        end = time.monotonic() + PATIENCE
        while text not in (seen := self.gives(command)):
            assert time.monotonic() < end, seen
            time.sleep(1)

    @contextmanager
    def other_terminal(self, command: str) -> Iterator[None]:
        words = ["bash", "-c", f"exec {command}"]
        with subprocess.Popen(words, cwd=self.folder, env=self.environment) as process:
            try:
                yield
            finally:
                process.terminate()
                assert process.wait(60) == 0


def test_the_first_hour_goes_as_it_is_told(tmp_path: Path) -> None:
    person = Person(tmp_path)
    steps = list(STEP.finditer(PAGE.read_text(encoding="utf-8")))
    runs = [step[3] for step in steps].index("vidwatch run\n")
    for step in steps[:runs]:
        person.gives(step[3])
    with person.other_terminal("vidwatch run"):
        for step in steps[runs + 1 :]:
            if step[3]:
                person.gives(step[3])
            else:
                person.waits(step[1], step[2])
    home = tmp_path / "vidwatch"
    assert (tmp_path / "videos.csv").stat().st_size > 1000
    assert len(list((tmp_path / "backups").iterdir())) == 1
    assert "auto-1" in person.gives("vidwatch status")
    assert len(list((home / "duplicates").iterdir())) == 6

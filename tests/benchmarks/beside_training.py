"""How much slower clips are classified while a challenger trains: python
tests/benchmarks/beside_training.py CLIPS.

CLIPS is a folder of class folders. Each pair runs the daemon over the same clips, once alone and
once beside a process that trains on features of all of them, over and over, at its low priority.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from learner.catalogue import STARTER
from learner.dataset import LabelledClip, find_clips

VIDWATCH = Path(sys.executable).with_name("vidwatch")
PAIRS, CLIPS = 3, 60


def classify(clips: list[LabelledClip], root: Path) -> float:
    """Seconds that the daemon takes for the clips, less its start."""
    took = {}
    for count in (1, len(clips)):
        home = root / "home"
        shutil.rmtree(home, ignore_errors=True)
        environment = {**os.environ, "VIDWATCH_HOME": str(home), "VIDWATCH_SETTLE_SECONDS": "0.2"}
        subprocess.run([VIDWATCH, "init"], env=environment, check=True, capture_output=True)
        for clip in clips[:count]:
            shutil.copy(clip.path, home / "inbox")
        began = time.monotonic()
        subprocess.run(
            [VIDWATCH, "run", "--once"], env=environment, check=True, capture_output=True
        )
        took[count] = time.monotonic() - began
    return took[len(clips)] - took[1]


@contextmanager
def training(clips: list[LabelledClip], root: Path) -> Iterator[None]:
    """A challenger is trained beside what is done here, and another one when it is done."""
    labelled = [
        {
            "path": str(c.path),
            "label": c.label,
            "group": c.group,
            "sha256": c.sha256,
            "biased": False,
        }
        for c in clips
    ]
    job = {
        **{
            "champion": str(STARTER),
            "is_trained": False,
            "recipe": "head",
            "device": None,
            "memory": 0.4,
        },
        **{
            "cache": 20 * 10**9,
            "min_class_clips": 5,
            "training": labelled,
            "holdout": [],
            "forgotten": [],
            "comparison": 1,
            "rule": {},
        },
    }
    script = (
        "import subprocess, sys, json\n"
        "job = json.load(sys.stdin)\n"
        "for n in range(1000):\n"
        "    text = json.dumps({**job, 'challenger': sys.argv[1] + f'/auto-{n}'})\n"
        "    subprocess.run([sys.executable, '-m', 'daemon.training.trainer', sys.argv[2]], input=text, text=True,\n"
        "                   stdout=subprocess.DEVNULL)\n"
    )
    script = script.replace("sys.argv[2]", "str(__import__('os').getpid())")
    models = tempfile.mkdtemp(dir=root)
    process = subprocess.Popen([sys.executable, "-c", script, models], stdin=subprocess.PIPE)
    assert process.stdin
    process.stdin.write(json.dumps(job).encode())
    process.stdin.close()
    time.sleep(15)  # it imports torch, and reads what is stored
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print seconds alone and beside training, and their ratio."""
    found = find_clips(Path(sys.argv[1]))
    chosen = found[:: max(1, len(found) // CLIPS)][:CLIPS]
    table = Table(
        "pair", "alone", "beside training", "ratio", title=f"{len(chosen)} clips", box=None
    )
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for pair in range(PAIRS):
            seconds = []
            for around in (nullcontext(), training(found, root)):
                with around:
                    seconds.append(classify(chosen, root))
            ratios.append(seconds[1] / seconds[0])
            table.add_row(
                str(pair + 1), *(f"{value:.1f} s" for value in seconds), f"{ratios[-1]:.2f}"
            )
    console = Console()
    console.print(table)
    console.print(f"median ratio {statistics.median(ratios):.2f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()

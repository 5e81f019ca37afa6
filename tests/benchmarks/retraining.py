"""Training the default head with what is cached of its clips against the same without: `retraining.py FOLDER`.

Prints a table with the baseline in it; both runs are of one process, on the same clips.
"""

import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from learner import recipe
from learner.cache import Cache
from learner.classifier import Classifier
from learner.splits import Sources
from learner.train import train


def main() -> None:
    """Train twice: the first run reads every clip, the second finds its features."""
    folder, chosen = Path(sys.argv[1]), recipe.load("default")
    with tempfile.TemporaryDirectory() as scratch:
        seconds = []
        for number in range(2):
            began = time.monotonic()
            cache = Cache(root=Path(scratch, "cache"))
            trained = train(Sources(folder), Path(scratch, str(number)), chosen, cache=cache)
            seconds.append(time.monotonic() - began)
    device = Classifier.load().device
    title = f"{trained.score.n} clips on {device}, recipe default, cross-validation and the final fit"
    table = Table("run", "seconds", "ratio", title=title, box=None)
    for name, taken in zip(("without the cache", "with it"), seconds, strict=True):
        table.add_row(name, f"{taken:.1f}", f"{taken / seconds[0]:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()

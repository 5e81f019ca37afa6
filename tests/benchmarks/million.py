"""Makes a home with a million videos, for benchmarks: `python tests/benchmarks/million.py HOME [N]`.

The million is that of `store.py`, from twenty cameras, with scores of as many digits as real ones
have, a class that is rare, and a class that is over. No file of it exists.
"""

import json
import random
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from homes import MadeHome
from store import CLASSES, VIDEOS, fill

KINDS = 997  # of scores
RARE = "rarely seen"
FORMER = "no more seen"
CHANGES = """
UPDATE predictions SET logits = scores(id);
UPDATE videos SET source = 'cam' || (id % 20), recorded_at = arrived_at,
  recorded_by = 'container', camera = 'Reconyx HP2X';
UPDATE predictions SET class = 'rarely seen' WHERE video_id % 50000 = 9;
UPDATE predictions SET class = 'no more seen' WHERE class_index = 4 AND video_id < 60000
"""


def made(root: Path, videos: int = VIDEOS) -> MadeHome:
    """A home with so many videos."""
    home = MadeHome(root, classes=[*CLASSES, RARE, FORMER])
    assert home.model
    fill(home.home, videos)
    chance = random.Random(1)
    scores = [json.dumps([chance.gauss(0, 4) for _ in home.classes]) for _ in range(KINDS)]
    with closing(sqlite3.connect(home.home.database)) as database, database:
        database.create_function("scores", 1, lambda number: scores[number % KINDS])
        for change in CHANGES.split(";"):
            database.execute(change)
    return home


if __name__ == "__main__":
    made(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else VIDEOS).close()

"""The store: predictions recorded a second, and what a million videos cost its queries, in the time
of an empty one's.

The million is written by SQL into a temporary folder: answers of 400 days, 15,000 labels (a third
of them of the random share), some failed, 50,000 unsure, 20,000 twice there, and some still on
their way.
"""

import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

from homes import MadeHome
from table import Row, in_turns, seconds

from daemon.database.records import Moved, VideoPrediction
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found

VIDEOS = 1_000_000
BATCHES, ROUNDS = 8, 7
CLASSES = [f"class {index}" for index in range(10)]
LOGITS = [0.123456 * index for index in range(10)]


class Bench(MadeHome):
    """A home with so many videos; `seconds` are those of each step's calls, by its name."""

    def __init__(self, root: Path, videos: int) -> None:
        super().__init__(root, now=now(), classes=CLASSES, review_share=0.1)
        self.came = 0
        self.predicted = self.model_prediction("class 5", logits=LOGITS)
        fill(self.home, videos)
        self.seconds: dict[str, list[float]] = {
            "enqueueing": [],
            "claiming": [],
            "recording": [],
            "filing": [],
        }

    def round(self, size: int) -> None:
        """Some batches of `size` from the inbox to their folders; the files themselves stay where
        they are.
        """
        arrivals = [self._arrival() for _ in range(size * BATCHES)]
        spent = dict.fromkeys(self.seconds, 0.0)
        spent["enqueueing"] = seconds(lambda: self.queue.enqueue(arrivals, now()))
        for _ in range(BATCHES):
            spent["claiming"] += seconds(lambda: self._claim(size))
            self.batch = [self._prediction(video.id) for video in self.claimed]
            spent["recording"] += seconds(self._record)
            spent["filing"] += seconds(self._file_in_place)
        for name, taken in spent.items():
            self.seconds[name].append(taken)

    def median(self, step: str) -> float:
        """Seconds a batch, without the first round, which warms all."""
        return statistics.median(self.seconds[step][1:]) / BATCHES

    def _arrival(self) -> Found:
        self.came += 1
        group = f"v_new_g{self.came // 7}"
        return self.found(self.put(f"inbox/{group}_c{self.came}.mp4", "a clip"), group)

    def _claim(self, size: int) -> None:
        self.claimed = self.queue.claim(size, now())

    def _prediction(self, video: int) -> VideoPrediction:
        """Of a content of its own, though the files are all alike."""
        return self.prediction(video, self.predicted, sha256=sha256(b"%d" % video).hexdigest())

    def _record(self) -> None:
        self.predictions.record(self.batch, self.folders, now())

    def _file_in_place(self) -> None:
        moves = self.queue.moves(now())
        self.queue.moved({m.id: Moved(m.destination, m.destination) for m in moves}, now())


def rows(clips: Path) -> Iterator[Row]:
    """Rates, and the million's ratios. No clip is read."""
    with tempfile.TemporaryDirectory() as scratch:
        empty, full = Bench(Path(scratch, "empty"), 0), Bench(Path(scratch, "full"), VIDEOS)
        for size in (8, 32):
            small = Bench(Path(scratch, f"batches of {size}"), 0)
            for _ in range(ROUNDS):
                small.round(size)
            rate = size / small.median("recording")
            yield Row(
                f"recorded, a commit for each {size}",
                rate,
                "a second",
                "what is asked for",
                2000,
                "≥ 1",
            )
        for _ in range(ROUNDS):
            for bench in (empty, full):
                bench.round(32)
        for step in ("enqueueing", "claiming", "filing"):
            figures = 1000 * full.median(step), "ms", "an empty database", 1000 * empty.median(step)
            yield Row(f"{step} 32 of a million", *figures, "≤ 1.3")
        bare, shown = in_turns(
            *(partial(status, bench.home) for bench in (empty, full)), rounds=ROUNDS
        )
        yield Row("vidwatch status, a million", shown, "s", "an empty database", bare, "≤ 1.5")


def status(home: Home) -> None:
    """The whole command."""
    command = Path(sys.executable).with_name("vidwatch"), "--home", home.root, "status"
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def fill(home: Home, videos: int) -> None:
    """So many videos, ten of each recording; the last few hundred are on their way."""
    root = str(home.root)
    known = {
        "n": videos,
        "start": f"-{400 * 86400} seconds",
        "step": 400 * 86400 / max(videos, 1),
        "root": root,
    }
    with closing(sqlite3.connect(home.database)) as write, write:
        for statement in FILLING.split(";"):
            used = {name: value for name, value in known.items() if f":{name}" in statement}
            write.execute(statement, used)


FILLING = """
CREATE TEMP TABLE new AS
WITH RECURSIVE count(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM count WHERE i < :n)
SELECT i, CASE
  WHEN i > :n - 300 THEN 'queued' WHEN i > :n - 310 THEN 'waiting' WHEN i > :n - 320 THEN 'claimed'
  WHEN i > :n - 330 THEN 'classified' WHEN i % 300 = 7 THEN 'failed' ELSE 'filed' END AS state,
  i % 50 = 11 AS is_copy, i % 20 = 3 AS is_unsure, i % 10 AS class,
  strftime('%Y-%m-%d %H:%M:%f000', 'now', :start, (:step * i) || ' seconds') AS at
FROM count WHERE :n > 0;

INSERT INTO videos (id, name, path, inode, size, mtime_ns, "group", state, error, sha256, fingerprint, sampled,
  duplicate_of, destination, arrived_at, finished_at)
SELECT i, 'c' || i || '.mp4', CAST(:root || CASE
    WHEN state = 'failed' THEN '/failed/' WHEN state <> 'filed' THEN '/inbox/' WHEN is_copy THEN '/duplicates/'
    WHEN i % 100 = 1 THEN '/labelled/class ' || class || '/' WHEN is_unsure THEN '/classified/_unsure/'
    ELSE '/classified/class ' || class || '/' END || 'c' || i || '.mp4' AS BLOB),
  1000000000 + i, 500000, i, CASE WHEN i % 3 THEN 'camera' || i / 10 ELSE '#' || i END, state,
  CASE WHEN state = 'failed' THEN 'not a video' END,
  CASE WHEN state IN ('filed', 'classified') THEN lower(hex(randomblob(32))) END,
  CASE WHEN i % 3 = 0 AND state = 'filed' THEN randomblob(64) END, i % 10 = 5,
  CASE WHEN is_copy AND state = 'filed' THEN i - 1 END,
  CASE WHEN state = 'classified' THEN CAST(:root || '/classified/c' || i || '.mp4' AS BLOB) END,
  at, CASE WHEN state IN ('filed', 'failed') THEN at END
FROM new;

INSERT INTO predictions (video_id, model_id, class, class_index, probability, logits, frames_asked, frames_read,
  decoder, read_share, doubt, created_at)
SELECT i, 1, 'class ' || class, class, 0.4 + 0.6 * (i % 97) / 97,
  '[0.1, -0.25, 3.5, 1.0, 2.0, 0.5, -1.0, 0.0, 1.5, 2.5]', 16, 16, 'opencv', 1.0,
  CASE WHEN is_unsure THEN 'probability' END, at
FROM new WHERE state IN ('filed', 'classified') AND NOT is_copy;

INSERT INTO labels (video_id, verdict, class, source, who, sampled, created_at)
SELECT i, 'labelled', 'class ' || class, 'page', 'ann', i % 10 = 5, at
FROM new WHERE state = 'filed' AND NOT is_copy AND (i % 100 = 1 OR i % 200 = 5);

INSERT INTO trainings (name, state, why, last_label, asked_at)
SELECT 'auto-1', 'trained', 'labels', max(id) * 99 / 100, max(created_at) FROM labels HAVING count(*);

INSERT INTO decisions (verdict, challenger, reason, figures, setting, created_at)
SELECT 'set', 'starter', 'vidwatch.toml says so', '{}', 'starter', datetime('now', '-401 days') || '.000000';

DROP TABLE new
"""

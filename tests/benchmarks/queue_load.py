"""Many daemons on one PostgreSQL server: claims and recordings a second, and whether each video is
recorded once.

    python tests/benchmarks/queue_load.py --videos 1000000 --daemons 16
    python tests/benchmarks/queue_load.py --videos 100000 --daemons 4 --kill 10

Each daemon is a process with the real queue and the real recording; only the model is a stub. The
server is a real one, with its disk synced at each commit. No file is moved, and no clip is read.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
from homes import MadeHome
from postgres import PASSWORD, TestServer, running_server
from sqlalchemy import Engine, func, select

from daemon.database.connection import connect
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.records import ModelPrediction, VideoPrediction
from daemon.database.tables import videos
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders

BATCH = 64
CLASSES = [f"class {index}" for index in range(10)]
LOGITS = [0.123456 * index for index in range(10)]
RENEWAL = 15.0  # seconds
FILLING = """
INSERT INTO videos (name, path, inode, size, mtime_ns, state, arrived_at)
SELECT 'c' || i || '.mp4', convert_to('./inbox/c' || i || '.mp4', 'UTF8'), i, 500000, i, 'queued',
  now() AT TIME ZONE 'UTC'
FROM generate_series(1, {n}) i
"""


def main() -> None:
    """Run the daemons to the end of the queue, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=100_000)
    parser.add_argument("--daemons", type=int, default=16)
    parser.add_argument("--kill", type=float, default=0.0, help="Kill one every so many seconds.")
    parser.add_argument("--work", nargs=3, metavar=("HOME", "NAME", "FIGURES"))
    given = parser.parse_args()
    if given.work:
        work(Home.at(given.work[0]), given.work[1], Path(given.work[2]))
        return
    safely = ("-c fsync=on", "-c full_page_writes=on")
    with running_server(*safely) as server, tempfile.TemporaryDirectory() as scratch:
        load(server, Path(scratch), given.videos, given.daemons, given.kill)


def load(server: TestServer, scratch: Path, n_videos: int, n_daemons: int, kill: float) -> None:
    """Fill the queue, let the daemons work it off, and check what they did."""
    home = Home.at(scratch / "home")
    home.create()
    with home.settings.open("a") as file:
        file.write(server.settings_of_new_home())
    made = MadeHome(home.root, classes=CLASSES)
    made.register("starter")
    name = str(home.database).rpartition("/")[2]
    empty = size(server, name)
    server.execute(name, FILLING.format(n=n_videos))
    server.execute(name, "ANALYZE")
    queued = size(server, name)
    began = time.monotonic()
    crew = Crew(home, scratch, n_daemons)
    crew.run(kill)
    seconds = time.monotonic() - began
    per_row = (size(server, name) - queued) / n_videos
    figures = [np.load(path) for path in scratch.glob("*.npy")]
    twice = server.execute(
        name,
        "SELECT count(*) FROM"
        " (SELECT video_id FROM predictions GROUP BY 1 HAVING count(*) > 1) AS again",
    )
    states = dict(server.execute(name, "SELECT state, count(*) FROM videos GROUP BY state"))
    print(f"{n_videos} videos, {n_daemons} daemons, {crew.killed} killed, {os.cpu_count()} cores")
    print(f"{n_videos / seconds:.0f} claimed and recorded a second, {seconds:.0f} s")
    for row, what in enumerate(("claim", "record")):
        taken = np.concatenate([one[row] for one in figures]) * 1000
        middle, high, most = np.percentile(taken, [50, 99, 100])
        print(f"{what} {BATCH}: median {middle:.1f} ms, 99 % {high:.1f} ms, longest {most:.0f} ms")
    waiting = (queued - empty) / n_videos
    print(f"{waiting:.0f} bytes a video that waits, {per_row:.0f} more with its prediction")
    print(f"states {states}; recorded twice: {twice[0][0]}")
    if not kill:
        recorded = sum(int(json.loads(path.read_text())) for path in scratch.glob("*.json"))
        print(f"recorded, as the daemons counted: {recorded}")
    made.close()


class Crew:
    """The daemons. One that is killed is followed by another."""

    def __init__(self, home: Home, scratch: Path, n: int) -> None:
        self.killed = 0
        self._home = home
        self._scratch = scratch
        self._n_started = 0
        self._running = [self._start() for _ in range(n)]

    def run(self, kill: float) -> None:
        """Wait until the queue is empty."""
        while any(one.poll() is None for one in self._running):
            time.sleep(kill or 0.2)
            alive = [one for one in self._running if one.poll() is None]
            if kill and alive:
                random.choice(alive).send_signal(signal.SIGKILL)
                self.killed += 1
                self._running.append(self._start())

    def _start(self) -> "subprocess.Popen[bytes]":
        self._n_started += 1
        name = f"daemon-{self._n_started}"
        words = ["--work", str(self._home.root), name, str(self._scratch / name)]
        return subprocess.Popen([sys.executable, __file__, *words])


def work(home: Home, name: str, figures: Path) -> None:
    """What one daemon does: claim, predict by a stub, record, until nothing is left."""
    engine = connect(home.database)
    queue = Queue(engine, f"{name}:{os.getpid()}", name)
    predictions = Predictions(engine)
    folders = Folders(home.root)
    taken: tuple[list[float], list[float]] = ([], [])
    recorded = 0
    renewed = time.monotonic()
    while True:
        if time.monotonic() > renewed + RENEWAL:
            queue.renew_leases(now())
            queue.put_back_overdue(now())
            renewed = time.monotonic()
        began = time.monotonic()
        claimed = queue.claim(BATCH, now())
        taken[0].append(time.monotonic() - began)
        if not claimed:
            if not n_left(engine):
                break
            time.sleep(0.5)
            continue
        batch = [predicted(video.id, video.path) for video in claimed]
        began = time.monotonic()
        recorded += len(predictions.record(batch, folders, now()))
        taken[1].append(time.monotonic() - began)
    n = min(map(len, taken))
    np.save(figures.with_suffix(".npy"), np.array([one[:n] for one in taken]))
    figures.with_suffix(".json").write_text(str(recorded))
    engine.dispose()


def n_left(engine: Engine) -> int:
    """How many videos have no prediction yet: a daemon that was killed may hold some."""
    open_ones = videos.c.state.in_(("queued", "claimed"))
    with engine.begin() as connection:
        return connection.scalar(select(func.count()).where(open_ones)) or 0


def predicted(video: int, path: bytes) -> VideoPrediction:
    """A stub's prediction, of a content of its own."""
    return VideoPrediction(
        video,
        path,
        sha256=sha256(b"%d" % video).hexdigest(),
        prediction=ModelPrediction(1, CLASSES[video % 10], video % 10, 0.9, LOGITS),
        frames_asked=16,
        frames_read=16,
        decoder="opencv",
    )


def size(server: TestServer, name: str) -> int:
    """Bytes of a database."""
    return int(server.execute("postgres", f"SELECT pg_database_size('{name}')")[0][0])


if __name__ == "__main__":
    os.environ.setdefault("PGPASSWORD", PASSWORD)
    main()

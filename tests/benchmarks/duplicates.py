"""The same clips once more: what the pipeline takes for a duplicate, against classifying the clip.

From the queued row to the filed one, with the default model: hash, database, and what becomes of
the file. The watcher, which treats both alike, is not part of it.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Literal

import decode
from table import Row, seconds

from daemon.classify.champion import ChampionLoader
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.database.connection import connect
from daemon.database.predictions import Predictions
from daemon.database.queue import Queue
from daemon.database.upgrade import upgrade
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found
from daemon.home.identity import identify
from daemon.home.settings import Settings
from daemon.training.decisions import Decisions
from learner.dataset import find_clips

CLIPS = 60
MINUTE = 6  # times ten seconds

Policy = Literal["keep", "drop", "leave"]


@dataclass(frozen=True)
class Bench:
    """A home with a pipeline, and no daemon."""

    home: Home
    queue: Queue
    pipeline: Pipeline
    numbers: Iterator[int]

    def seconds_a_clip(self, paths: Sequence[Path]) -> float:
        """Copy these files into the inbox, and classify and file them; gives the time for it."""
        found = []
        for path in paths:
            target = self.home.inbox / f"{next(self.numbers)}{path.suffix}"
            shutil.copy(path, target)
            identity = identify(bytes(target))
            assert identity
            found.append(Found(bytes(target), identity))
        self.queue.enqueue(found, now())
        return seconds(self._work_off) / len(paths)

    def _work_off(self) -> None:
        while self.queue.busy():
            self.pipeline.step(now())


@contextmanager
def bench(policy: Policy) -> Iterator[Bench]:
    """A home that has classified nothing yet."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Home.at(Path(folder, "home"))
        home.create()
        upgrade(home.database)
        os.environ["XDG_CACHE_HOME"] = folder
        settings = Settings(duplicates=policy)
        queue = Queue(connect(home.database), "bench")
        stack.callback(queue.close)
        predictions = Predictions(queue.engine, leave_duplicates=policy == "leave")
        loader = ChampionLoader(home, settings, predictions, Decisions(queue.engine))
        stack.callback(loader.close)
        how = PipelineSettings(
            batch_size=settings.batch_size,
            grace=timedelta(minutes=1),
            patience=timedelta(),
            inbox_is_there=home.inbox.exists,
            may_begin=lambda: True,
            progress=lambda: None,
            drop_duplicates=policy == "drop",
        )
        pipeline = Pipeline(queue, predictions, loader.first(now()), Folders(home.root), how)
        yield Bench(home, queue, pipeline, count())


def rows(clips: Path) -> Iterator[Row]:
    """Clips as published; ten seconds and a minute of 720p; an hour, which is sought in."""
    found = [clip.path for clip in find_clips(clips)]
    with tempfile.TemporaryDirectory() as scratch:
        short = decode._ten_seconds(found, Path(scratch, "short.mp4"))
        kinds = {
            f"{CLIPS} clips as published": found[:: len(found) // CLIPS][:CLIPS],
            "ten seconds of 720p": [short],
            "a minute of 720p": [_longer(short, MINUTE)],
            "an hour of 720p (only its hash counts)": [_longer(short, decode.TIMES)],
        }
        policies: tuple[Policy, ...] = ("keep", "drop", "leave")
        for policy in policies:
            with bench(policy) as home:
                home.seconds_a_clip([found[1]])  # the model and the decoders warm up
                for kind, paths in kinds.items():
                    yield _row(home, policy, kind, paths)


def _row(home: Bench, policy: Policy, kind: str, paths: Sequence[Path]) -> Row:
    classified = home.seconds_a_clip(paths)
    duplicate = home.seconds_a_clip(paths)
    what = f"a duplicate, {policy}: {kind}"
    # A few frames are sought in a long clip: reading all of it for the hash takes longer than that.
    aim = "≤ 1.5" if "hour" in kind else "≤ 0.1"
    return Row(what, 1000 * duplicate, "ms", "classified", 1000 * classified, aim, "starter")


def _longer(short: Path, times: int) -> Path:
    path = short.with_name(f"{times}.mp4")
    decode._repeat(short, path, times)
    return path

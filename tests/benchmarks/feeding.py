"""Whether the daemon keeps many decoders at work, and how many clips a second one process passes on.

Files, queue, recording and filing are real. Decoders and model only take their time, or none.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from homes import MadeHome
from table import Row, seconds

from daemon.classify import decoder_process
from daemon.classify.decoding import Decoders, DecoderSettings
from daemon.classify.pipeline import Pipeline, PipelineSettings
from daemon.classify.predictor import Outcome, Predictor, Reader
from daemon.database.records import WindowPrediction
from daemon.home.clock import now
from learner.process import keep_freed_memory
from learner.spec import ClipSpec
from learner.video import Clip

DECODING = 0.25  # seconds a clip, as of HD
ON_GPU = 0.003  # seconds a clip
A_BATCH = 0.01  # seconds, besides
WARMING = 40  # clips a decoder process
PASSED_ON = 1000  # clips
SPEC = ClipSpec(frames=16, size=224)
CLASSES = [f"class {index}" for index in range(10)]
LOGITS = dict(zip(CLASSES, np.linspace(0, 1, 10).tolist(), strict=True))


@dataclass(frozen=True)
class Predicted:
    """The class of every clip."""

    class_name: str = CLASSES[5]
    class_index: int = 5
    probability: float = 0.9
    logits = LOGITS
    familiarity: float = 0.5


class Model:
    """Takes its time for a batch."""

    def __init__(self, a_clip: float, a_batch: float) -> None:
        self._a_clip = a_clip
        self._a_batch = a_batch

    def __call__(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Each clip looks like no other one."""
        time.sleep(self._a_batch + self._a_clip * len(clips))
        return [Outcome(Predicted(), fingerprint=2 * bytes.fromhex(clip.sha256)) for clip in clips]

    def join(self, windows: Mapping[int, Sequence[WindowPrediction]], model_id: int) -> Outcome:
        """Never asked for: no video here is long."""
        raise AssertionError("a video here is long")


class SlowReaders:
    """As many threads as decoders, each of which waits for as long as a decoder computes."""

    def __init__(self, n: int) -> None:
        self.busy = 0.0
        """Seconds of all of them together."""
        self._threads = ThreadPoolExecutor(n)

    def read(self, path: bytes, *which: Any) -> Future[Clip]:
        """Start to read a file."""
        return self._threads.submit(self._read, path)

    def outcome(self, future: Future[Any]) -> Any:
        """The clip."""
        return future.result()

    def _read(self, path: bytes) -> Clip:
        time.sleep(DECODING)
        self.busy += DECODING
        return Clip(
            np.empty((1, 1, 1, 3), np.uint8), 1, 1, "none", hashlib.sha256(path).hexdigest()
        )


class Bench(MadeHome):
    """A home with so many clips, none of which has the size of another one."""

    def __init__(self, root: Path, clips: int) -> None:
        super().__init__(root, now=now(), classes=CLASSES)
        found = []
        for number in range(clips):
            path = self.put(f"inbox/v_g{number // 4}_c{number}.mp4")
            os.truncate(path, 100 + number)
            found.append(self.found(path, f"v_g{number // 4}" if number % 4 else None))
        self.queue.enqueue(found, now())

    def work_off(self, reader: Reader, workers: int, model: Model) -> None:
        """Classify and file all that waits."""
        how = PipelineSettings(
            batch_size=64,
            grace=timedelta(minutes=1),
            patience=timedelta(),
            inbox_is_there=self.inbox.exists,
            may_begin=lambda: True,
            progress=lambda: None,
        )
        predictor = Predictor(reader, model, self.model, model.join, workers=workers)
        pipeline = Pipeline(self.queue, self.predictions, predictor, self.folders, how)
        while pipeline.step(now()):
            pass


@contextmanager
def bench(clips: int) -> Iterator[Bench]:
    """A home in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, closing(Bench(Path(folder), clips)) as home:
        yield home


@contextmanager
def instant_decoders(n: int) -> Iterator[Decoders]:
    """Real processes that give clips at once."""
    before = decoder_process.PROGRAM
    decoder_process.PROGRAM = (sys.executable, str(Path(__file__).with_name("instant_decoder.py")))
    decoders = Decoders(DecoderSettings(SPEC, n, seconds=60))
    try:
        for future in [decoders.decode(b"") for _ in range(WARMING * n)]:
            decoders.outcome(future)
        yield decoders
    finally:
        decoders.close()
        decoder_process.PROGRAM = before


def rows(clips: Path) -> Iterator[Row]:
    """No clip is read."""
    keep_freed_memory()
    for n in (16, 64):
        at_work = in_use(n)
        what = f"decoders at work, {DECODING:g} s a clip, {ON_GPU * 1000:g} ms of a GPU"
        yield Row(what, at_work, "decoders", "all", n, "≥ 0.9")
    cores = os.cpu_count() or 1
    asked = ("clips/s", "what is asked for", 400.0, "≥ 1")
    with instant_decoders(cores) as decoders:
        yield Row("clips from decoders to the daemon", handed_over(decoders), *asked)
        with bench(PASSED_ON) as home:
            began = time.process_time()
            home.work_off(decoders, cores, Model(0, 0))
            rate = PASSED_ON / (time.process_time() - began)
        yield Row("clips from the queue to their folders, by the daemon's own time", rate, *asked)


def in_use(n: int) -> float:
    """How many of `n` decoders are at work, on the average, while there is enough to do."""
    clips = 40 * n
    readers = SlowReaders(n)
    with bench(clips) as home:
        taken = seconds(lambda: home.work_off(readers, n, Model(ON_GPU, A_BATCH)))
    return readers.busy / taken


def handed_over(decoders: Decoders, clips: int = 1000) -> float:
    """Clips a second, of which none is kept."""

    def all_of_them() -> None:
        for _ in range(clips // 50):
            for future in [decoders.decode(b"") for _ in range(50)]:
                decoders.outcome(future)

    return clips / seconds(all_of_them)

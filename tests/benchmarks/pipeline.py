"""The running daemon with its default model: its rate against its ceiling, its memory, how soon it
answers one clip.

The files of the benchmarks are copies whose bytes differ at their end, where no decoder looks.
"""

import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import report
from table import Row, seconds

from daemon.classify.decoding import Decoders, DecoderSettings
from daemon.inbox.settling import SETTLED_SOON
from learner.classifier import Classifier
from learner.dataset import find_clips
from learner.video import Clip, read_clip

VIDWATCH = Path(sys.executable).with_name("vidwatch")
AT_ONCE, ALONE, WAITING = 300, 15, 10_000
MOST_MEMORY = 1.2e9  # bytes


@dataclass(frozen=True)
class Daemon:
    """A running daemon on a home of its own."""

    home: Path
    process: psutil.Process

    def drop(self, clip: Path, number: int) -> None:
        """Copy a file whose content is its own into the inbox."""
        made = self.home / f"{number}{clip.suffix}"
        shutil.copy(clip, made)
        with made.open("ab") as file:
            # A chunk that both containers skip: its size and "free", or "JUNK" and its size.
            head = b"\0\0\0\x10free" if clip.suffix == ".mp4" else b"JUNK\x08\0\0\0"
            file.write(head + number.to_bytes(8, "big"))
        shutil.copy(made, self.home / "inbox")
        made.unlink()

    def filed(self) -> int:
        """How many videos have come to their end."""
        with closing(self._connect()) as connection:
            return _filed(connection)

    def wait_for(self, filed: int, pause: float = 0.01) -> None:
        """Until that many have; looks again after each pause."""
        with closing(self._connect()) as connection:
            while _filed(connection) < filed:
                assert self.process.is_running()
                time.sleep(pause)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.home / "vidwatch.db", timeout=30)


def _filed(connection: sqlite3.Connection) -> int:
    counted = connection.execute("SELECT count(*) FROM videos WHERE finished_at IS NOT NULL")
    return int(counted.fetchone()[0])


@contextmanager
def running() -> Iterator[Daemon]:
    """A daemon that has nothing to do."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        environment = {**os.environ, "VIDWATCH_HOME": str(home), "XDG_CACHE_HOME": folder}
        subprocess.run([VIDWATCH, "init"], env=environment, check=True, capture_output=True)
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen([VIDWATCH, "run"], env=environment, stderr=log)
        try:
            while b"watching" not in Path(folder, "log").read_bytes():
                assert process.poll() is None, Path(folder, "log").read_text()
                time.sleep(0.1)
            yield Daemon(home, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def rows(clips: Path) -> Iterator[Row]:
    """The default model; the ceiling is that of decoding and the forward pass, each alone with all
    cores.
    """
    model = Classifier.load()
    on = {"model": model.name, "device": str(model.device)}
    found = [clip.path for clip in find_clips(clips)]
    chosen = found[:: max(1, len(found) // AT_ONCE)][:AT_ONCE]
    before = costs(chosen, model)
    with running() as daemon:
        daemon.drop(chosen[0], 0)
        daemon.wait_for(1)
        rate = len(chosen) / seconds(lambda: work_off(daemon, chosen))
        # Measured on both sides of it: the machine is not equally fast at all times.
        decoding, forward = map(statistics.mean, zip(before, costs(chosen, model), strict=True))
        ceiling = 1 / (decoding + forward if model.device.type == "cpu" else max(decoding, forward))
        busy = f"decoders busy {rate * decoding:.0%}, model {rate * forward:.0%} of the time"
        yield Row(
            f"the daemon, arrival to filed row ({busy})",
            rate,
            "clips/s",
            "ceiling",
            ceiling,
            "≥ 0.9",
            **on,
        )
        longest = min(found, key=lambda path: abs(duration(path) - 10))
        settle = f"after the {SETTLED_SOON:g} s to settle"
        taken = [answer_one(daemon, longest, 1000 + number, model) for number in range(ALONE)]
        soon, bare = map(statistics.median, zip(*taken, strict=True))
        yield Row(
            f"one clip of ten seconds, {settle}",
            soon,
            "s",
            "decode and forward",
            bare,
            "≤ 1.5",
            **on,
        )
    some = chosen[:: len(chosen) // 4]
    one = len(some) / seconds(partial(report.one_process_a_file, some))
    yield Row(
        "the daemon, against a process a file",
        rate,
        "clips/s",
        "the report's way",
        one,
        "≥ 15",
        **on,
    )
    yield Row(
        f"memory, {WAITING} files waiting",
        most_memory(found[0]),
        "bytes",
        "limit",
        MOST_MEMORY,
        "≤ 1",
        **on,
    )


def costs(paths: list[Path], model: Classifier) -> tuple[float, float]:
    """Seconds a clip of decoding alone and of the forward pass alone, each with all cores, both
    warmed.
    """
    decoders = Decoders(DecoderSettings(model.spec, os.cpu_count() or 1, seconds=300))
    list(map(decoders.outcome, [decoders.decode(os.fsencode(path)) for path in paths[:8]]))
    began = time.perf_counter()
    read = list(map(decoders.outcome, [decoders.decode(os.fsencode(path)) for path in paths]))
    decoding = time.perf_counter() - began
    decoders.close()
    clips = [clip for clip in read if isinstance(clip, Clip)][:32]
    model.predict(clips[:2])
    return decoding / len(paths), seconds(lambda: model.predict(clips)) / len(clips)


def work_off(daemon: Daemon, paths: list[Path]) -> None:
    """Drop them at once, and wait until each is filed."""
    before = daemon.filed()
    for number, path in enumerate(paths):
        daemon.drop(path, 1 + number)
    daemon.wait_for(before + len(paths), pause=0.1)


def answer_one(daemon: Daemon, path: Path, number: int, model: Classifier) -> tuple[float, float]:
    """Seconds of an idle daemon, from the clip's being settled to its filed row; and of the bare
    work, right after.
    """
    before = daemon.filed()
    time.sleep(1)
    daemon.drop(path, number)
    soon = seconds(lambda: daemon.wait_for(before + 1)) - SETTLED_SOON
    return soon, seconds(lambda: model.predict(read(path, model)))


def most_memory(clip: Path) -> float:
    """The most that a daemon and its decoders hold at any time of half a minute's work."""
    with running() as daemon:
        for number in range(WAITING):
            daemon.drop(clip, number)
        return max(every(0.2, 150, lambda: resident(daemon.process)))


def resident(process: psutil.Process) -> float:
    """Bytes of a process; what its children share with it counts once."""
    return float(
        process.memory_info().rss
        + sum(child.memory_full_info().uss for child in process.children())
    )


def every(pause: float, times: int, look: Callable[[], float]) -> Iterator[float]:
    """What is seen each time."""
    for _ in range(times):
        yield look()
        time.sleep(pause)


def read(path: Path, model: Classifier) -> list[Clip]:
    """A batch of one clip."""
    return [read_clip(path, model.spec)]


def duration(path: Path) -> float:
    """Seconds that the container states."""
    import av

    with av.open(str(path)) as container:
        return (container.duration or 0) / av.time_base

"""The windows of a long video against decoding it once and predicting as many clips; and memory.

The video is made of CLIPS by the ffmpeg command: 720p H.264, 10 minutes if VIDWATCH_BENCH_MINUTES
says nothing else. It is read as the daemon reads it: in pieces, in one thread, by the starter.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import av
from table import Row, in_turns

from learner.classifier import Classifier
from learner.cutting import Window
from learner.dataset import find_clips
from learner.process import keep_freed_memory
from learner.safe_open import open_regular
from learner.window_plan import WindowPlan
from learner.windows import read_piece

MINUTES = float(os.environ.get("VIDWATCH_BENCH_MINUTES", "10"))
PLAN = WindowPlan(4, 2)
# Without torch, as a decoder. Not by getrusage, which counts what the process was before.
READ_ALL = """
import sys
from learner.safe_open import open_regular
from learner.spec import ClipSpec
from learner.window_plan import WindowPlan
from learner.windows import read_piece
first = 0
with open_regular(sys.argv[1]) as file:
    while True:
        piece = read_piece(file, ClipSpec(16, 224), WindowPlan(4, 2), first, "")
        if piece.is_last:
            break
        first = piece.windows[-1].number + 1
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
TURN = 2  # minutes that are encoded; they are repeated


def rows(clips: Path) -> Iterator[Row]:
    """The time of all windows, with their predictions; the memory for four times as many."""
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as scratch:
        path = _made(clips, MINUTES, Path(scratch, "long.mp4"))
        model = Classifier.load(device="cpu")
        windows = list(islice(_read(path, model), 8))
        n = round(MINUTES * 60 / PLAN.step)
        rounds = 1 if MINUTES > 5 else 3

        def forward() -> None:
            """As many forward passes, in the same batches."""
            for first in range(0, n, 8):
                model.predict(windows[: min(8, n - first)])

        in_windows, decoded, predicted = in_turns(
            lambda: _predicted(path, model),
            lambda: _bare(path),
            forward,
            rounds=rounds,
        )
        yield Row(
            f"windows of {MINUTES:g} minutes of 720p, with predictions",
            in_windows,
            "s",
            "decoding it once, and as many forward passes",
            decoded + predicted,
            "≤ 1.3",
            "starter",
        )
        short, long = (_peak(_made(clips, minutes, path)) for minutes in (5, 20))
        yield Row("peak memory, 20 minutes in windows", long, "MB", "5 minutes", short, "≤ 1.1")


def _read(path: Path, model: Classifier) -> Iterator[Window]:
    first = 0
    with open_regular(path) as file:
        while True:
            piece = read_piece(file, model.spec, PLAN, first, "")
            yield from piece.windows
            if piece.is_last:
                return
            first = piece.windows[-1].number + 1


def _predicted(path: Path, model: Classifier) -> None:
    windows = _read(path, model)
    while batch := list(islice(windows, 8)):
        model.predict(batch)


def _bare(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def _made(clips: Path, minutes: float, path: Path) -> Path:
    """So many minutes of clips, enlarged; the first minutes of it over and over."""
    turn = path.with_name("turn.mp4")
    if not turn.exists():
        found = [clip.path.resolve() for clip in find_clips(clips)]
        named = path.with_name("clips.txt")
        lines = (f"file '{clip}'\n" for clip in chain(found[::7], found))
        named.write_text("".join(lines))
        _ffmpeg(
            *("-f", "concat", "-safe", "0", "-i", str(named), "-t", str(60 * TURN), "-an"),
            *("-vf", "scale=1280:720,fps=25,noise=alls=8:allf=t", "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "26", str(turn)),
        )
    repeated = ("-stream_loop", str(int(minutes / TURN)), "-i", str(turn), "-c", "copy")
    _ffmpeg(*repeated, "-t", str(60 * minutes), str(path))
    return path


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


def _peak(path: Path) -> float:
    """Of a process that reads all windows of a file as a decoder does, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", READ_ALL, path], capture_output=True, text=True, check=True
    )
    return int(done.stdout) * 1024 / 1e6

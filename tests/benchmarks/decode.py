"""Decoding against FFmpeg's decoder alone and against the course report's way; with motion against
without; long videos against short ones.

The clips are CLIPS, and those of `ucf10-original` beside it where it is there: as published, in
AVI. No model is used. One thread each, as in the daemon, which has as many decoders as there are
processors.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from table import Row, in_turns

from learner.dataset import find_clips
from learner.process import keep_freed_memory
from learner.spec import IMAGENET_MEAN, IMAGENET_STD, ClipSpec
from learner.video import read_clip

REPORT, DEFAULT = ClipSpec(frames=40, size=128), ClipSpec(frames=16, size=224)
MOVING = replace(DEFAULT, motion=True)
FEW = 50
SECONDS, TIMES = 10, 360  # an hour


def rows(clips: Path) -> Iterator[Row]:
    """Of each kind of clips one by one, then of an hour of 720p that is made here; as in a decoder
    process.
    """
    cv2.setNumThreads(1)
    keep_freed_memory()
    for kind, folder in (("originals", clips.with_name("ucf10-original")), ("copies", clips)):
        if folder.is_dir():
            found = [clip.path for clip in find_clips(folder)]
            yield from _of_clips(kind, found[:: -(-len(found) // FEW)])
    with tempfile.TemporaryDirectory() as scratch:
        yield from _of_long(found, Path(scratch))


def _of_clips(kind: str, paths: list[Path]) -> Iterator[Row]:
    forty, sixteen = (partial(read_clip, spec=spec) for spec in (REPORT, DEFAULT))
    baseline = "libavcodec alone, frames thrown away"
    bare, near, default = _each(paths, _bare, forty, sixteen)
    yield Row(f"40 frames of 128x128, {kind}", near, "ms", baseline, bare, "≤ 1.35")
    yield Row(f"16 frames of 224x224, {kind}", default, "ms", baseline, bare, "≤ 1.35")
    plain, moving = _each(paths, sixteen, partial(read_clip, spec=MOVING))
    yield Row(f"16 frames with motion, {kind}", moving, "ms", "without motion", plain, "≤ 1.4")
    # By itself: the memory that it takes and gives back slows down what comes after it.
    report, near = _each(paths, _as_the_report, forty)
    yield Row(f"40 frames of 128x128, {kind}", near, "ms", "the report's way", report, "≤ 0.4")


def _each(paths: list[Path], *ways: Callable[[Path], object]) -> list[float]:
    """Milliseconds a clip, in turns at each: what slows this machine down for a while slows all
    ways down.
    """
    took = [in_turns(*(partial(way, path) for way in ways), rounds=3) for path in paths]
    return [1000 * sum(column) / len(paths) for column in zip(*took, strict=True)]


def _of_long(paths: list[Path], scratch: Path) -> Iterator[Row]:
    short, hour = _ten_seconds(paths, scratch / "short.mp4"), scratch / "hour.mp4"
    _repeat(short, hour)
    read_short, read_hour, hashed = in_turns(
        lambda: read_clip(short, REPORT),
        lambda: read_clip(hour, REPORT),
        lambda: _hash(hour),
        rounds=3,
    )
    baseline = "ten seconds of it"
    yield Row(
        "40 frames of an hour of 720p, less its hash",
        read_hour - hashed,
        "s",
        baseline,
        read_short,
        "≤ 3",
    )
    yield Row(
        "40 frames of an hour of 720p, with its hash", read_hour, "s", baseline, read_short, "≤ 3"
    )
    peaks = [_peak(path) for path in (short, hour)]
    yield Row("peak memory for an hour of 720p", peaks[1], "MB", baseline, peaks[0], "≤ 1.2")


def _bare(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def _as_the_report(path: Path) -> Any:
    """Every frame read, resized and normalised; of these, 40 are kept."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, image = capture.read()
        if not there:
            break
        pixels = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (REPORT.size, REPORT.size))
        frames.append((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD)
    return np.stack([frames[i] for i in np.linspace(0, len(frames) - 1, REPORT.frames).astype(int)])


def _ten_seconds(paths: list[Path], path: Path) -> Path:
    """The first clips, enlarged, with the noise of a sensor."""
    noise = np.random.default_rng(0).normal(0, 3, (4, 720, 1280, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "veryfast", "crf": "26"}
        )
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, image in enumerate(islice(_images(paths), 25 * SECONDS)):
            large = (
                cv2.resize(image, (1280, 720), interpolation=cv2.INTER_CUBIC) + noise[number % 4]
            )
            frame = av.VideoFrame.from_ndarray(large.clip(0, 255).astype(np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _images(paths: list[Path]) -> Iterator[Any]:
    for path in paths:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24")


def _repeat(short: Path, path: Path, times: int = TIMES) -> None:
    """The same packets, over and over."""
    with av.open(str(short)) as source, av.open(str(path), "w") as container:
        template = source.streams.video[0]
        stream = container.add_stream_from_template(template)
        length = round(SECONDS / template.time_base)
        for turn in range(times):
            source.seek(0)
            for packet in source.demux(template):
                if packet.size:
                    packet.pts, packet.dts = packet.pts + turn * length, packet.dts + turn * length
                    packet.stream = stream
                    container.mux(packet)


def _hash(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def _peak(path: Path) -> float:
    """Of a process that loads what a decoder does, and reads it, in MB."""
    # Not by getrusage, which counts what the process was before it became this one.
    code = (
        "import sys; from learner.video import ClipSpec, read_clip; read_clip(sys.argv[1], ClipSpec(40, 128))\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    return int(done.stdout) * 1024 / 1e6

"""Decoding against the bare work of FFmpeg's decoder, against the course report's way, and of long videos.

The clips are those of `ucf10-original` beside CLIPS, where it is there (as published, in AVI), and their copies in
CLIPS. Nothing here uses a model. One thread each, as in the daemon, which has as many decoders as processors.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from table import Row, in_turns

from learner.dataset import find_clips
from learner.spec import IMAGENET_MEAN, IMAGENET_STD, ClipSpec
from learner.video import read_clip

REPORT, DEFAULT = ClipSpec(frames=40, size=128), ClipSpec(frames=16, size=224)
FEW = 25


def rows(clips: Path) -> Iterator[Row]:
    """Of each kind of clips one by one, then of an hour of 720p that is made here."""
    cv2.setNumThreads(1)
    originals = clips.with_name("ucf10-original")
    for kind, folder in (("originals", originals), ("copies", clips)):
        if folder.is_dir():
            found = [clip.path for clip in find_clips(folder)]
            yield from _of_clips(kind, found[:: max(1, len(found) // FEW)])


def _of_clips(kind: str, paths: list[Path]) -> Iterator[Row]:
    ways = (_bare, lambda path: read_clip(path, REPORT), lambda path: read_clip(path, DEFAULT), _as_the_report)
    took = in_turns(*(lambda way=way: [way(path) for path in paths] for way in ways))
    bare, forty, sixteen, report = (1000 * seconds / len(paths) for seconds in took)
    baseline = "libavcodec alone, frames thrown away"
    yield Row(f"40 frames of 128x128, {kind}", forty, "ms", baseline, bare, "≤ 1.35")
    yield Row(f"16 frames of 224x224, {kind}", sixteen, "ms", baseline, bare, "≤ 1.35")
    yield Row(f"40 frames of 128x128, {kind}", forty, "ms", "the report's way", report, "≤ 0.4")


def _bare(path: Path) -> None:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for _ in container.decode(stream):
            pass


def _as_the_report(path: Path) -> Any:
    """Every frame read, resized and normalised; of these, 40 are kept."""
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, image = video.read()
        if not there:
            break
        pixels = cv2.resize(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), (REPORT.size, REPORT.size))
        frames.append((pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD)
    return np.stack([frames[i] for i in np.linspace(0, len(frames) - 1, REPORT.frames).astype(int)])

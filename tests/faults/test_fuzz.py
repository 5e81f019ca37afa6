"""Bytes of clips flipped, cut out and put in: whatever comes of a file, it comes in time, and the
decoders go on.

VIDWATCH_TEST_SEED repeats a run; it is printed.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import write_video

from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from learner.spec import ClipSpec, ReadOptions
from learner.video import Clip

SPEC = ClipSpec(frames=4, size=16)
LIMIT = 20  # seconds a file
AT_ONCE = 8
KINDS = [
    *[("mp4", codec) for codec in ("libx264", "mpeg4", "libsvtav1")],
    *[("mkv", codec) for codec in ("libx264", "mpeg2video", "ffv1", "libvpx")],
    *[("avi", codec) for codec in ("mpeg4", "mjpeg", "huffyuv")],
    *[("mov", codec) for codec in ("png", "qtrle", "prores_ks")],
    *[
        ("ts", "mpeg2video"),
        ("mpg", "mpeg2video"),
        ("flv", "flv"),
        ("wmv", "wmv2"),
        ("ogv", "libtheora"),
    ],
    *[
        ("webm", "libvpx-vp9"),
        ("mxf", "mpeg2video"),
        ("nut", "ffv1"),
        ("h264", "libx264"),
        ("swf", "flv"),
    ],
]
COLOURS = {
    "mjpeg": "yuvj420p",
    "huffyuv": "yuv422p",
    "png": "rgb24",
    "qtrle": "rgb24",
    "prores_ks": "yuv422p10le",
}


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(
        DecoderSettings(SPEC, workers=2, seconds=LIMIT, gigabytes=0.5, reading=ReadOptions(0.5))
    )
    yield decoders
    decoders.close()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Clips of many kinds, and real ones where there are any."""
    folder = tmp_path_factory.mktemp("seeds")
    kinds = [(ending, codec) for ending, codec in KINDS if codec in av.codecs_available]
    made = [
        encode(folder / f"{number}.{ending}", codec) for number, (ending, codec) in enumerate(kinds)
    ]
    data = Path(os.environ.get("VIDWATCH_TEST_DATA", Path(__file__).parents[3] / "shared/data"))
    real = [
        path
        for kind in ("ucf10", "ucf10-original")
        for path in sorted((data / kind).glob("*/*"))[::40]
    ]
    return [path.read_bytes() for path in made + real]


def encode(path: Path, codec: str) -> Path:
    noise = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, COLOURS.get(codec, "yuv420p")
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(
                noise.integers(0, 100, (64, 64, 3), np.uint8), "rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def harmed(data: bytes, chance: random.Random) -> bytes:
    """Bits flipped, numbers made extreme, pieces cut out and doubled; half of it near the
    beginning, in the headers.
    """
    harmed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20, 200])):
        reach = len(harmed) if chance.random() < 0.5 else min(len(harmed), 1000)
        at, size = chance.randrange(reach), chance.choice([1, 2, 4, 8])
        match chance.randrange(6):
            case 0 | 1:
                harmed[at] ^= 1 << chance.randrange(8)
            case 2:
                harmed[at] = chance.randrange(256)
            case 3:
                harmed[at : at + size] = chance.choice([b"\0", b"\xff", b"\x7f", b"\x80"]) * size
            case 4:
                del harmed[at : at + chance.randrange(1, 100)]
            case 5:
                harmed[at:at] = harmed[at : at + chance.randrange(1, 100)]
        harmed = harmed or bytearray(b"\0")
    return bytes(harmed)


@pytest.mark.parametrize("seconds", [6, pytest.param(240, marks=pytest.mark.slow)])
def test_harmed_clips_end_in_time_and_leave_decoders_that_work(
    tmp_path: Path, decoders: Decoders, seeds: list[bytes], seconds: float
) -> None:
    seed = int(os.environ.get("VIDWATCH_TEST_SEED", time.time()))
    chance, outcomes = random.Random(seed), Counter[str]()
    end, numbers = time.monotonic() + seconds, count()
    while time.monotonic() < end:
        paths = [tmp_path / str(next(numbers)) for _ in range(AT_ONCE)]
        for path in paths:
            path.write_bytes(harmed(chance.choice(seeds), chance))
        futures = [decoders.decode(bytes(path)) for path in paths]
        for path, future in zip(paths, futures, strict=True):
            future.exception(timeout=AT_ONCE * (LIMIT + 5))
            outcome = decoders.outcome(future)
            outcomes[outcome.kind if isinstance(outcome, Undecoded) else "read"] += 1
            # A crash or a slow file is what the processes are for; all else has an answer of its
            # own.
            assert isinstance(outcome, Clip) or outcome.kind in ("failed", "crashed"), (
                seed,
                path.name,
                outcome,
            )
            if isinstance(outcome, Undecoded) and (
                outcome.kind == "crashed" or "Error" in outcome.reason
            ):
                print(f"{path.name}: {outcome.reason}")
            else:
                path.unlink()
    print(f"seed {seed}: {dict(outcomes)}")
    assert isinstance(
        decoders.outcome(decoders.decode(bytes(write_video(tmp_path / "a.avi")))), Clip
    )

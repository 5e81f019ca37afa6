"""Clips a second: predicted, computed alone, uploaded and decoded; by graphs, eager and compiled."""

import itertools
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from gpu_setup import Setup, tensors, videos
from gpu_table import Table, rate

GRAPHS = (1, 2, 4, 8, 16, 32, 64)
BATCHES = (8, 64)
DECODED = 64  # files; a quarter on a processor, which also predicts them


def speed(setup: Setup, table: Table) -> None:
    """All rates are held against one of the same run: the forward pass alone, kernel by kernel."""
    model = setup.model
    backbone = model._forward._backbone
    clips = setup.clips(8)
    resident = torch.stack(tensors(clips)).to(setup.device)
    with torch.inference_mode():
        eager = rate(lambda: backbone(resident), len(clips), setup.sync)
        base = "forward alone, 8 clips, kernel by kernel", eager
        best = eager
        for size in GRAPHS:
            if size > setup.most:
                why = "a processor computes each clip by itself"
                table.missing(f"our forward pass, {size} clips", why)
                continue
            found = _graph(setup, size, resident)
            best = max(best, found)
            table.figure(f"our forward pass, {size} clips", found, "clips/s", *base)
        _compiled(setup, table, backbone, resident, base)
    table.figure("8 clips, kernel by kernel", eager, "clips/s", "the fastest of these", best)
    for size in BATCHES:
        if size > setup.most:
            table.missing(f"predict, {size} clips at a time", "a processor computes each by itself")
            continue
        many = list(itertools.islice(itertools.cycle(clips), size))
        found = rate(lambda many=many: model.predict(many), size, setup.sync)  # type: ignore[misc]
        table.figure(
            f"predict, {size} clips at a time", found, "clips/s", "the fastest alone", best, "≥ 0.7"
        )
    _upload(setup, table, clips, best)
    if setup.is_gpu:
        peak = torch.cuda.max_memory_reserved() / 2**20
        total = torch.cuda.get_device_properties(setup.device).total_memory / 2**20
        table.figure("most memory in use", peak, "MiB", "the GPU's", total)
    else:
        table.missing("most memory in use", "only a GPU's is counted")


def _graph(setup: Setup, size: int, resident: torch.Tensor) -> float:
    """Of frames that are there already. On a CPU, of our forward pass as it is."""
    forward = setup.model._forward
    frames = resident[torch.arange(size, device=setup.device) % len(resident)]
    if not setup.is_gpu:
        clips = list(frames)
        return rate(lambda: forward(clips), size, setup.sync, 0.5)
    from learner.gpu import _Graph

    graph = _Graph(forward._backbone, torch.zeros_like(frames), torch.cuda.graph_pool_handle())
    return rate(lambda: graph(frames), size, setup.sync)


def _compiled(
    setup: Setup, table: Table, backbone: Any, resident: torch.Tensor, base: tuple[str, float]
) -> None:
    """PyTorch's compiler. It needs a compiler of C++ on a CPU, and Triton on a GPU."""
    what = "compiled (torch.compile), 8 clips"
    if not setup.is_gpu and not (setup.compiles and shutil.which("g++")):
        table.missing(what, "on a processor with --compile alone: it takes minutes, and needs g++")
        return
    try:
        compiled: Callable[[torch.Tensor], Any] = torch.compile(backbone)
        table.figure(
            what, rate(lambda: compiled(resident), len(resident), setup.sync), "clips/s", *base
        )
    except Exception as error:
        # Whatever its back ends raise: that is a finding, and the other rows go on.
        table.missing(what, f"{type(error).__name__}: {str(error).partition(chr(10))[0][:80]}")


def _upload(setup: Setup, table: Table, clips: list[Any], best: float) -> None:
    """From the arrays that decoders give to the device, without the forward pass."""
    frames = tensors(clips)
    if setup.is_gpu:
        from learner.gpu import _Place

        place = _Place(setup.model._forward._backbone.clip, setup.device)

        def upload() -> None:
            place.upload(frames)
            place.release()
    else:
        there = torch.empty(len(frames), *frames[0].shape, dtype=torch.uint8)

        def upload() -> None:
            torch.stack(frames, out=there)

    with torch.inference_mode():
        found = rate(upload, len(frames), setup.sync)
    table.figure("uploaded", found, "clips/s", "the fastest alone", best, "≥ 1.5")
    speed = found * frames[0].nbytes / 1e9
    copied = torch.stack(frames)
    plain = rate(copied.clone, len(frames), lambda: None) * frames[0].nbytes / 1e9
    table.figure("bytes uploaded", speed, "GB/s", "copied in memory", plain)


def decode(setup: Setup, table: Table) -> None:
    """How many clips a second one core decodes, and all cores, and so how many feed the device."""
    from learner.video import read_clip

    spec = setup.model.spec
    folder = setup.data or videos(setup.folder, frames=180)
    paths = list(itertools.islice(itertools.cycle(sorted(folder.glob("*/*"))), DECODED))
    paths = paths if setup.is_gpu else paths[: DECODED // 4]

    def read(path: Path) -> Any:
        return read_clip(path, spec)

    clips = [read(path) for path in paths[:8]]
    alone = rate(lambda: setup.model.predict(clips), len(clips), setup.sync)
    one = rate(lambda: [read(path) for path in paths[:16]], 16, lambda: None)
    cores = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(cores) as pool:
        all_cores = rate(lambda: list(pool.map(read, paths)), len(paths), lambda: None)
    table.figure("decoded by one thread", one, "clips/s", "predicted, 8 at a time", alone)
    table.figure(f"decoded by {cores} threads", all_cores, "clips/s", "by one", one)
    table.figure("cores that feed the device", alone / one, "cores", "here", cores)
    whole = rate(lambda: list(setup.model.results(paths)), len(paths), setup.sync)
    slowest = 1 / (1 / alone + 1 / all_cores) if not setup.is_gpu else min(alone, all_cores)
    table.figure("files to predictions", whole, "clips/s", "the slower of both", slowest, "≥ 0.6")

"""Training: the report's loop against ours, and heads on features that are stored."""

import multiprocessing
import re
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Plain, network, train_epoch
from table import Row, in_turns, seconds

from daemon.training.trainer import head_recipe
from learner import recipe
from learner.batches import Data
from learner.cache import Cache
from learner.classifier import Classifier
from learner.contest import compete
from learner.dataset import LabelledClip, class_names, extract, find_clips
from learner.fit import fit
from learner.rounds import Task, Watch
from learner.run import Run
from learner.spec import Augment
from learner.splits import folds
from learner.stored import release_pages
from learner.video import read_clip

LEARNED = 8  # clips of the report's network: seconds each
# Clips, and the seconds that heads may take to compete for them, cross-validation included.
COUNTS = {350: 5, 5_000: 30, 50_000: 300}
GIGABYTES = 2  # of memory that the whole process may take
NOISE = 0.1  # of a copy, in units of a feature


def rows(clips: Path) -> Iterable[Row]:
    """The report's network a clip; then heads on the features of more and more clips."""
    yield custom(clips)
    model = Classifier.load()
    found = extract(find_clips(clips), model, Cache())
    for count, limit in COUNTS.items():
        with tempfile.TemporaryDirectory() as scratch:
            job = (found.clips, found.values, model, Path(scratch), count)
            taken, memory = in_another_process(competing, *job)
        what = f"retraining, {count:,} clips"
        yield Row(what, taken, "s", "its aim", limit, "≤ 1", model.name)
        yield Row(f"{what}, memory", memory, "GB", "its aim", GIGABYTES, "≤ 1", model.name)


def custom(clips: Path) -> Row:
    """An epoch of the report's network in both loops, of clips that are decoded already."""
    ours, spec = network("custom-base")
    paths = sorted(clips.glob("*/*"))
    frames = [read_clip(path, spec).frames for path in paths[:: len(paths) // LEARNED][:LEARNED]]
    device = Classifier.load().device
    truth = torch.arange(LEARNED) % 10
    net = Plain(ours, recipe.load("custom-base").network).to(device)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
    planes = [
        ((torch.from_numpy(clip).permute(0, 3, 1, 2) / 255 - mean) / std).contiguous()
        for clip in frames
    ]
    learner = network("custom-base")[0].to(device).to(memory_format=torch.channels_last)
    settings = replace(recipe.load("custom-base").training, epochs=1, schedule="constant")
    data = Data(frames, truth, Augment())
    taken, theirs = in_turns(
        lambda: fit(learner, data, np.arange(LEARNED), np.array([], np.intp), settings),
        lambda: train_epoch(net, planes, truth),
        rounds=3,
    )
    rate = LEARNED / taken, LEARNED / theirs
    return Row(
        "custom, training",
        rate[0],
        "clips/s",
        "the report's loop",
        rate[1],
        "≥ 2",
        "custom-base",
        str(device),
    )


def in_another_process(call: Callable[..., float], *job: Any) -> tuple[float, float]:
    """What `call` gives, and how many gigabytes its process took at most."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(call, *job).result()
        return taken, pool.submit(peak).result()


def peak() -> float:
    """The most memory that this process has taken, in gigabytes.

    Not that of `getrusage`, which counts the memory of the process that started this one, too.
    """
    status = Path("/proc/self/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) / 1e6


def competing(
    found: list[LabelledClip],
    values: list[np.ndarray[Any, Any]],
    model: Classifier,
    scratch: Path,
    count: int,
) -> float:
    """Seconds that the heads of the daemon's retraining take, of copies of clips with some noise.

    The features of all clips lie in a file, as those of many clips do.
    """
    generator = np.random.default_rng(0)
    shape = (count, *values[0].shape)
    table = np.memmap(scratch / "features", np.float16, "w+", shape=shape)
    clips = []
    for row in range(count):
        like = row % len(found)
        noise = generator.standard_normal(shape[1:], np.float32) * NOISE * (row >= len(found))
        table[row] = values[like] + noise
        group = f"{found[like].group}-{row // len(found)}"
        clips.append(replace(found[like], sha256=f"{row:064}", group=group))
        if row % 1000 == 0:
            release_pages(table)
    classes = class_names(clips)
    truth = torch.tensor([classes.index(clip.label) for clip in clips])
    chosen = head_recipe(model)
    data = Data(list(table), truth, Augment(), motion=model.network.motion)
    run = Run(scratch / "run", model.manifest)
    task = Task(chosen, clips, classes, data, model.network, run, Watch())
    rounds = folds(clips, chosen.training.folds, 0)
    return seconds(lambda: compete(task, rounds))

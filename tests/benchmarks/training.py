"""Training: the report's loop against ours, and the head on features that are stored, for more and
more clips.
"""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import Plain, network, train_epoch
from table import Row, in_turns, seconds

from learner import recipe
from learner.batches import Data
from learner.cache import Cache
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract, find_clips
from learner.fit import fit
from learner.shelves import features_shelf
from learner.spec import Augment
from learner.splits import Sources
from learner.train import train
from learner.video import read_clip

LEARNED = 8  # clips of the report's network: seconds each
COUNTS = (500, 1000, 2000, 5000)
EPOCHS = 2  # of the default's 20, to see how the cost grows
NOBODY = np.array([], np.intp)


def rows(clips: Path) -> Iterable[Row]:
    """The report's network a clip; then the head, of so many copies of the clips as are needed."""
    yield custom(clips)
    model = Classifier.load()
    with tempfile.TemporaryDirectory() as scratch:
        cache = Cache(root=Path(scratch, "cache"))
        found = find_clips(clips)
        values = extract(found, model, cache).values
        default = recipe.load("default")
        short = default.changed({"epochs": EPOCHS})
        taken = {
            count: retrained(found, values, model, Path(scratch, "short"), short, count)
            for count in COUNTS
        }
        whole = retrained(found, values, model, Path(scratch, "whole"), default, COUNTS[-1])
    device = str(model.device)
    first = taken[COUNTS[0]] / COUNTS[0]
    for count in COUNTS[1:]:
        what = f"retraining, a clip of {count}"
        yield Row(
            what,
            taken[count] / count,
            "s",
            f"a clip of {COUNTS[0]}",
            first,
            "≤ 1.2",
            model.name,
            device,
        )
    yield Row(
        f"retraining the head, {COUNTS[-1]} clips",
        whole,
        "s",
        "a minute",
        60,
        "≤ 1",
        model.name,
        device,
    )


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
        lambda: fit(learner, data, np.arange(LEARNED), NOBODY, settings),
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


def retrained(
    found: list[LabelledClip],
    values: list[np.ndarray[Any, Any]],
    model: Classifier,
    scratch: Path,
    chosen: recipe.Recipe,
    count: int,
) -> float:
    """Seconds of a whole training of a head: cross-validation, the final fit, and the report of the
    run.
    """
    cache = Cache(root=scratch / f"cache-{count}")
    shelf, copies = features_shelf(model, cache), []
    for number in range(count):
        clip = found[number % len(found)]
        copies.append(replace(clip, sha256=f"{number:08}{clip.sha256[8:]}"))
        shelf.put(copies[-1].sha256, values[number % len(found)])
    sources = Sources(clips=tuple(copies))
    return seconds(lambda: train(sources, scratch / f"model-{count}", chosen, cache=cache))

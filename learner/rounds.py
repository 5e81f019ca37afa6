"""Rounds of training: some to measure, and the one that gives the model."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from learner import checkpoint
from learner.batches import Data
from learner.calibration import Calibration, calibrate, crossed
from learner.dataset import LabelledClip, Progress, silent
from learner.distributed import ALONE, Processes
from learner.evaluate import HeadScore
from learner.familiarity import Reference, Scale, energies
from learner.fit import Epoch, fit, judge
from learner.head import Head, Standardise
from learner.memory import in_halves
from learner.network import ClipNetwork
from learner.recipe import Recipe
from learner.run import Run
from learner.splits import Fold, Indices, Split

Array = np.ndarray[Any, Any]

BY_FOLDS = "by cross-validation over groups, each clip judged by a model trained without its group"

# Validation clips of a fold's curve: many more would cost time, and decide nothing.
CURVE_CLIPS = 200


@dataclass(frozen=True)
class Watch:
    """Functions that are called with the progress of a training."""

    reading: Progress = silent
    """Clips read, of how many."""
    step: Callable[[int, int, float], None] = lambda step, steps, loss: None
    """Steps done, of how many, and the mean loss of the epoch so far, in nats."""
    epoch: Callable[[Epoch], None] = lambda epoch: None
    """After each epoch."""


@dataclass(frozen=True)
class Task:
    """All that training needs, read and checked."""

    recipe: Recipe
    clips: list[LabelledClip]
    classes: tuple[str, ...]
    data: Data
    untrained: ClipNetwork
    """Each round begins with a copy of it."""
    run: Run
    watch: Watch
    processes: Processes = ALONE
    """Those that train together."""


@dataclass(frozen=True)
class Judged:
    """Logits of head and baseline for `clips`, by models that had not seen them."""

    clips: Indices
    logits: Array
    baseline_logits: Array
    calibrated: Array
    """`(N, C)` logits of the head, by a calibration that was fitted without the clip itself."""
    backwards: Array
    """`(N, C)` logits of the head for the clip played backwards."""
    method: str


@dataclass(frozen=True)
class Outcome:
    """The network that becomes the model, and what was fitted on clips that it had not seen."""

    network: ClipNetwork
    trained_on: Indices
    calibration: Calibration
    history: list[Epoch]
    judged: Judged
    scale: Scale
    reference: Reference | None = None
    """None if its familiarity is by the energy alone."""
    heads: tuple[HeadScore, ...] = ()
    """Of the heads that competed."""


def cross_validate(task: Task, folds: list[Fold]) -> Outcome:
    """Each clip is judged by a model that was trained without its group.

    Then one model is trained on all of them.
    """
    everything = np.arange(len(task.clips))
    truth = task.data.truth.numpy()
    logits, baseline, backwards = np.zeros((3, len(truth), len(task.classes)), np.float32)
    history: list[Epoch] = []
    for number, (known, held_out) in enumerate(folds, start=1):
        some = held_out[:: math.ceil(len(held_out) / CURVE_CLIPS)]
        network, epochs = fit_round(task, known, some, number, len(folds) + 1)
        # Rounded as it would be stored, so that what is measured is what is shipped.
        network.half().float()
        logits[held_out], baseline[held_out] = judge(network, task.data, held_out, task.processes)
        backwards[held_out], _ = judge(
            network, task.data.played_backwards(), held_out, task.processes
        )
        history += epochs
    network, epochs = fit_round(task, everything, everything[:0], 0, len(folds) + 1)
    held_out_together = [held_out for _, held_out in folds]
    calibration, calibrated = calibrate(logits, truth, held_out_together)
    baseline = crossed(baseline, truth, held_out_together)
    return Outcome(
        network=network,
        trained_on=everything,
        calibration=calibration,
        history=history + epochs,
        judged=Judged(everything, logits, baseline, calibrated, backwards, BY_FOLDS),
        scale=Scale.of(energies(logits)),
    )


def hold_out(task: Task, split: Split, method: str) -> Outcome:
    """One model: its checkpoint is chosen by validation, and judged by the test."""
    network, history = fit_round(task, split.training, split.validation, 0, 1)
    kept = task.run.folder / task.recipe.training.keep
    task.processes.wait()  # until the first one has written it
    network.load_state_dict(checkpoint.load(kept).tensors)
    known, _ = judge(network, task.data, split.validation, task.processes)
    truth = task.data.truth[split.validation].numpy()
    calibration = Calibration.fitted(known, truth)
    return Outcome(
        network=network,
        trained_on=np.concatenate([split.training, split.validation]),
        calibration=calibration,
        history=history,
        judged=judged_by(task, network, calibration, split.test, method),
        scale=Scale.of(energies(known)),
    )


def judged_by(
    task: Task, network: ClipNetwork, calibration: Calibration, clips: Indices, method: str
) -> Judged:
    """What a network gives for `clips`, which neither it nor its calibration has seen."""
    logits, baseline = judge(network, task.data, clips, task.processes)
    backwards, _ = judge(network, task.data.played_backwards(), clips, task.processes)
    return Judged(clips, logits, baseline, calibration.calibrated(logits), backwards, method)


def fit_round(
    task: Task, known: Indices, held_out: Indices, fold: int, rounds: int
) -> tuple[ClipNetwork, list[Epoch]]:
    """One round of `rounds`: train a copy of the network on `known`.

    `fold` counts the models of a cross-validation from 1; it is 0 for the model itself.
    """
    network = task.untrained.copied()
    _standardise(network, task.data, known)
    # The model itself is trained last.
    rounds_before = fold - 1 if fold else rounds - 1

    def after_step(step: int, steps: int, loss: float) -> None:
        task.watch.step(rounds_before * steps + step, rounds * steps, loss)

    def after_epoch(history: list[Epoch]) -> None:
        task.watch.epoch(history[-1])
        if len(held_out) and not fold:
            task.run.keep(history, network)

    history = fit(
        network,
        task.data,
        known,
        held_out,
        task.recipe.training,
        fold,
        task.run.state(fold),
        after_step,
        after_epoch,
        task.processes,
    )
    return network, history


def _standardise(network: ClipNetwork, data: Data, known: Indices) -> None:
    """Give head and baseline the mean and the deviation of the training clips' features."""
    head = network.head
    if isinstance(head, Head) and isinstance(head.norm, Standardise):
        head.norm.learn(map(head.inputs, _features(network, data, known)))
    baseline = network.baseline
    if isinstance(baseline.norm, Standardise):
        baseline.norm.learn(map(baseline.inputs, _features(network, data, known)))


def _features(network: ClipNetwork, data: Data, clips: Indices) -> Iterator[torch.Tensor]:
    """`(B, T, F)` float32, batch by batch."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for batch in data.batches(clips):
            values = batch.to(device)
            if values.dim() != 3:
                values = torch.cat(in_halves(network.backbone, values))
            yield values.float()

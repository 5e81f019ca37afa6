"""Trains a head on a frozen backbone's features, and measures it on groups that it has not seen."""

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from learner import checkpoint
from learner.classifier import Classifier
from learner.dataset import Features, LabelledClip, class_names, extract, find_clips, groups_by_class
from learner.errors import VidwatchError
from learner.evaluate import Score, score
from learner.groups import GROUP_PATTERN
from learner.models import Head, MeanBaseline, NetworkArgs

Indices = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True)
class TrainSettings:
    """AdamW under a one-cycle schedule; `learning_rate` is its peak."""

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1.0
    label_smoothing: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """`score` and `baseline` come from cross-validation over groups; None where the clips have too few groups."""

    path: Path
    score: Score | None
    baseline: Score | None
    skipped: dict[str, str]


def train(
    root: Path,
    out: Path,
    start: Classifier,
    settings: TrainSettings | None = None,
    group_pattern: str = GROUP_PATTERN,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Trained:
    """Train a head for the class folders of `root` on the backbone of `start`, and save the model at `out`.

    Raises:
        VidwatchError: fewer than two classes, no readable clips, or a model at `out` already.
    """
    settings = settings or TrainSettings()
    checkpoint.require_free(out)
    clips = find_clips(root, group_pattern)
    if len(class_names(clips)) < 2:
        raise VidwatchError(f"{root} holds one class only; a model needs at least two class folders to tell apart")
    found = extract(clips, start, progress)
    classes = class_names(found.clips)
    if lost := set(class_names(clips)) - set(classes):
        reasons = "; ".join(f"{path}: {reason}" for path, reason in found.skipped.items())
        raise VidwatchError(f"{root}: not one clip of {', '.join(sorted(lost))} can be read: {reasons}")
    truth = torch.tensor([classes.index(clip.label) for clip in found.clips])
    measured = cross_validate(found, truth, classes, start.manifest.network, settings)
    head, baseline = fit(found.values, truth, len(classes), start.manifest.network, settings)
    network = copy.deepcopy(start.network)
    network.head, network.baseline = head, baseline
    manifest = replace(
        start.manifest,
        classes=classes,
        trained_on=tuple(clip.sha256 for clip in found.clips),
        measured=_measured(*measured),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Trained(checkpoint.save(out, manifest, network.state_dict()), *measured, found.skipped)


def cross_validate(
    found: Features, truth: Tensor, classes: tuple[str, ...], args: NetworkArgs, settings: TrainSettings
) -> tuple[Score | None, Score | None]:
    """Scores of head and baseline, each clip judged by a fold that was trained without its group."""
    splits = folds(found.clips, settings.seed)
    if not splits:
        return None, None
    logits, baseline_logits = np.zeros((2, len(truth), len(classes)))
    for known, held_out in splits:
        head, baseline = fit(found.values[known], truth[known], len(classes), args, settings)
        with torch.inference_mode():
            logits[held_out] = head(found.values[held_out])
            baseline_logits[held_out] = baseline(found.values[held_out])
    return score(logits, truth.numpy(), classes), score(baseline_logits, truth.numpy(), classes)


def folds(clips: list[LabelledClip], seed: int) -> list[tuple[Indices, Indices]]:
    """Up to five splits into known and held-out clips, by index: each clip is held out once, with all of its group.

    None where a class has one group only: it would be judged by a model that never saw it.
    """
    labels, groups = [clip.label for clip in clips], [clip.group for clip in clips]
    most = min(5, *(len(of_class) for of_class in groups_by_class(clips).values()))
    for count in range(most, 1, -1):
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        splits = [(known, held_out) for known, held_out in splitter.split(labels, labels, groups) if len(held_out)]
        # Groups that several classes share can leave a fold without a class.
        if all({labels[i] for i in held_out} <= {labels[i] for i in known} for known, held_out in splits):
            return splits
    return []


def fit(
    features: Tensor, truth: Tensor, classes: int, args: NetworkArgs, settings: TrainSettings
) -> tuple[Head, MeanBaseline]:
    """Train head and baseline on `(N, T, F)` features and `(N,)` class indices; a seed gives the same weights."""
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(settings.seed)
        head, baseline = Head(features.shape[-1], classes, args), MeanBaseline(features.shape[-1], classes)
        if head.norm is not None:
            head.norm.learn(head.inputs(batch) for batch in torch.split(features, settings.batch))
        parameters = [*head.parameters(), *baseline.parameters()]
        optimizer = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=settings.weight_decay)
        steps = settings.epochs * -(-len(truth) // settings.batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
        criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        for _ in range(settings.epochs):
            order = torch.randperm(len(truth))
            for first in range(0, len(order), settings.batch):
                inputs, targets = (of[order[first : first + settings.batch]] for of in (features, truth))
                # The two share no weight, so one backward pass of the sum trains each as if it were alone.
                loss = criterion(head(inputs), targets) + criterion(baseline(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    # Rounded as they will be stored, so that what is measured is what is shipped.
    return head.half().float().eval(), baseline.half().float().eval()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The head's products are too small to share: on two busy cores, two threads took 30 times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _measured(model: Score | None, baseline: Score | None) -> dict[str, Any]:
    if model is None or baseline is None:
        return {}
    return {
        "method": "cross-validation over groups: each clip judged by a model trained without its group",
        "n": model.n,
        "accuracy": model.accuracy,
        "interval_95": model.interval,
        "loss": model.loss,
        "baseline_accuracy": baseline.accuracy,
        "baseline_interval_95": baseline.interval,
    }

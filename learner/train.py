"""From folders of labelled clips and a recipe to a model that was measured on clips it had not seen."""

import copy
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from learner import checkpoint, evaluate, report, splits
from learner.backbone import backbone_statistics
from learner.cache import Cache
from learner.catalogue import STARTER, weights_path
from learner.checkpoint import TrainingClip
from learner.classifier import Classifier
from learner.dataset import (
    LabelledClip,
    Progress,
    Samples,
    class_names,
    extract,
    read_frames,
    silent,
)
from learner.errors import VidwatchError
from learner.evaluate import Score, fit_temperature, fit_threshold, score
from learner.fit import HEAD_STEPS, Data, Epoch, fit, judge
from learner.head import Standardise
from learner.network import ClipNetwork
from learner.recipe import Recipe
from learner.run import Run
from learner.spec import ClipSpec, ReadOptions
from learner.splits import Fold, Indices, Part, Sources, Split
from learner.weights import weights_digest

Array = np.ndarray[Any, Any]

BY_FOLDS = "by cross-validation over groups, each clip judged by a model trained without its group"
BY_TEST = "on groups kept back for the test"
BY_TEST_FOLDER = "on the clips of the test folder"
AT_RANDOM = (
    "on clips kept back at random: optimistic, since it learned from other clips of the same groups"
)

CURVE_CLIPS = 200


@dataclass(frozen=True)
class Start:
    """What the network begins with instead of what the recipe says: a file of backbone weights, or a model of ours.

    Of the model its head, too, but where `head` is False.
    """

    weights: Path | None = None
    model: Path | None = None
    head: bool = True


@dataclass(frozen=True)
class Watch:
    """Who is told how far it is: clips read of all, steps done of all with the loss so far, and each epoch."""

    reading: Progress = silent
    step: Callable[[int, int, float], None] = lambda step, steps, loss: None
    epoch: Callable[[Epoch], None] = lambda epoch: None


@dataclass(frozen=True)
class Trained:
    """A saved model with its score on clips that it had not seen, and its mean-pooling baseline's on the same.

    `method` says how it was measured, and what flatters it.
    """

    path: Path
    run: Path
    method: str
    score: Score
    baseline: Score
    clips: int
    groups: int
    skipped: dict[str, str]


@dataclass(frozen=True)
class _Task:
    """All that training needs, read and checked; `untrained` is what every fold begins with a copy of."""

    recipe: Recipe
    clips: list[LabelledClip]
    classes: tuple[str, ...]
    data: Data
    untrained: ClipNetwork
    run: Run
    watch: Watch


@dataclass(frozen=True)
class _Before:
    """What a network has learned from when its training begins; whether its head has, which flatters what it judges."""

    clips: tuple[TrainingClip, ...] = ()
    head: bool = False


@dataclass(frozen=True)
class _Judged:
    """Logits of head and baseline for `clips`, by models that had not seen them.

    `temperature` is a number, or one for each clip: never one that was fitted on logits for the clip itself.
    """

    clips: Indices
    logits: Array
    baseline_logits: Array
    temperature: float | Array
    method: str


@dataclass(frozen=True)
class _Outcome:
    """The network that becomes the model, with what was fitted on clips that it had not learned from."""

    network: ClipNetwork
    learned_from: Indices
    temperature: float
    unknown_below: float
    history: list[Epoch]
    judged: _Judged


def train(
    sources: Sources,
    out: Path,
    recipe: Recipe,
    start: Start | None = None,
    cache: Cache | None = None,
    watch: Watch | None = None,
    *,
    device: str = "auto",
    exact: bool = False,
) -> Trained:
    """Train `recipe` and save the model at `out`, with a folder `out`.run beside it that tells all about it.

    A run that was ended goes on from there when it is started again in the same way, to the same result.

    Raises:
        VidwatchError: too few classes, groups or readable clips, a model at `out` already, an unfinished run of
            something else there, a start that does not fit, or a loss that is not finite any more.
    """
    start, cache, watch = start or Start(), cache or Cache(), watch or Watch()
    checkpoint.require_free(out)
    found, parts = splits.gather(sources)
    _split(recipe, sources, found, parts)  # too few groups are told before anything is read
    classes = class_names(found)
    untrained, before = _begin(recipe, classes, start, device, ReadOptions(exact=exact))
    manifest = replace(untrained.manifest, precision=untrained.precision)
    run = Run(out.with_name(f"{weights_path(out).stem}.run"), manifest)
    with run.opened(_described(recipe, sources, untrained, found, parts)):
        samples = _read(found, recipe, untrained, cache, watch.reading)
        _require_whole(found, samples, parts)
        truth = torch.tensor([classes.index(clip.label) for clip in samples.clips])
        data = Data(samples.values, truth, recipe.augment, 2 if recipe.network.differences else 1)
        task = _Task(recipe, samples.clips, classes, data, untrained.network, run, watch)
        split = _split(recipe, sources, samples.clips, parts)
        outcome = (
            _hold_out(task, split, sources)
            if isinstance(split, Split)
            else _cross_validate(task, split)
        )
        return _finish(task, outcome, out, before, samples.skipped)


def _require_whole(found: list[LabelledClip], samples: Samples, parts: dict[str, Part]) -> None:
    reasons = "; ".join(f"{path}: {reason}" for path, reason in samples.skipped.items())
    if lost := {clip.label for clip in found} - {clip.label for clip in samples.clips}:
        raise VidwatchError(f"not one clip of {', '.join(sorted(lost))} can be read: {reasons}")
    if gone := {parts[clip.sha256] for clip in found} - {
        parts[clip.sha256] for clip in samples.clips
    }:
        raise VidwatchError(
            f"not one clip of the {' and the '.join(sorted(gone))} folder can be read: {reasons}"
        )


def _split(
    recipe: Recipe, sources: Sources, clips: list[LabelledClip], parts: dict[str, Part]
) -> Split | list[Fold]:
    """Folds where the recipe asks for them and nothing else is said; else one split."""
    settings = recipe.training
    if settings.folds and sources.split == "group" and not (sources.test or sources.validation):
        return splits.folds(clips, settings.folds, settings.seed)
    return splits.deal(clips, parts, sources.split, settings.seed)


def _begin(
    recipe: Recipe, classes: tuple[str, ...], start: Start, device: str, reading: ReadOptions
) -> tuple[Classifier, _Before]:
    """The untrained network with what weights there are, and what those have learned from."""
    args, before = recipe.network, _Before()
    mean, std = backbone_statistics(args.backbone)
    spec = ClipSpec(recipe.clip.frames, recipe.clip.size, recipe.clip.fit, mean, std)

    def fill(network: ClipNetwork) -> None:
        nonlocal before
        if start.weights:
            network.backbone.load_weights(start.weights)
        elif start.model or recipe.start == "starter":
            model = Classifier.load(start.model or STARTER, device)
            with_head = start.model is not None and start.head
            _take_over(network, model, recipe, classes, with_head=with_head)
            if start.model:
                before = _Before(model.manifest.trained_on, with_head)
        elif recipe.start == "imagenet":
            network.backbone.fetch_weights()

    seed = recipe.training.seed
    untrained = Classifier.untrained(args, spec, classes, seed, fill, device, reading)
    return untrained, before


def _take_over(
    network: ClipNetwork,
    model: Classifier,
    recipe: Recipe,
    classes: tuple[str, ...],
    *,
    with_head: bool,
) -> None:
    """The backbone of another model, and its head where asked for, and where network and classes are the same."""
    own, other = recipe.network, model.manifest.network
    if own.body() != other.body():
        raise VidwatchError(
            f"model {model.name!r} has another architecture (backbone {other.backbone}, stage {other.stage}) than "
            f"recipe {recipe.name!r} (backbone {own.backbone}, stage {own.stage})"
        )
    network.backbone.load_state_dict(model.network.backbone.state_dict())
    if with_head and own == other and classes == model.classes:
        network.load_state_dict(model.network.state_dict())


def _read(
    clips: list[LabelledClip],
    recipe: Recipe,
    untrained: Classifier,
    cache: Cache,
    progress: Progress,
) -> Samples:
    """Features where the backbone stays as it is, frames where it learns."""
    if recipe.training.freeze:
        samples = extract(clips, untrained, cache, progress)
    else:
        samples = read_frames(clips, untrained.spec, cache, progress, exact=untrained.reading.exact)
    cache.trim()
    return samples


def _described(
    recipe: Recipe,
    sources: Sources,
    untrained: Classifier,
    clips: list[LabelledClip],
    parts: dict[str, Part],
) -> dict[str, Any]:
    """What a run has to have in common with the one that it goes on with."""
    described = recipe.to_json()
    # Here, as version 0.1 wrote it: a run that it began goes on.
    described["clip"]["exact"] = untrained.reading.exact
    dealt = [(clip.sha256, clip.label, clip.group, parts[clip.sha256]) for clip in clips]
    return {
        "recipe": described,
        "head_steps": HEAD_STEPS,
        "split": sources.split,
        "begins_with": weights_digest(untrained.network),
        "device": untrained.device.type,
        "precision": untrained.precision,
        "clips": hashlib.sha256(repr(dealt).encode()).hexdigest(),
    }


def _cross_validate(task: _Task, folds: list[Fold]) -> _Outcome:
    """Each clip judged by a model that was trained without its group, then one model from all of them."""
    everything, truth = np.arange(len(task.clips)), task.data.truth.numpy()
    logits, baseline = np.zeros((2, len(truth), len(task.classes)), np.float32)
    temperatures = np.ones((len(truth), 1))
    history: list[Epoch] = []
    for number, (known, held_out) in enumerate(folds, start=1):
        # What is said of them after each epoch decides nothing: of many, some are enough for a curve.
        some = held_out[:: math.ceil(len(held_out) / CURVE_CLIPS)]
        network, epochs = _fit(task, known, some, number, len(folds) + 1)
        # Rounded as it would be stored, so that what is measured is what is shipped.
        logits[held_out], baseline[held_out] = judge(network.half().float(), task.data, held_out)
        history += epochs
    for _, held_out in folds:
        others = np.delete(everything, held_out)
        temperatures[held_out] = fit_temperature(logits[others], truth[others])
    network, epochs = _fit(task, everything, everything[:0], 0, len(folds) + 1)
    judged = _Judged(everything, logits, baseline, temperatures, BY_FOLDS)
    temperature, threshold = fit_temperature(logits, truth), fit_threshold(logits)
    return _Outcome(network, everything, temperature, threshold, history + epochs, judged)


def _hold_out(task: _Task, split: Split, sources: Sources) -> _Outcome:
    """One model: its checkpoint is chosen by validation, and judged by the test."""
    method = BY_TEST_FOLDER if sources.test else AT_RANDOM if sources.split == "random" else BY_TEST
    network, history = _fit(task, split.training, split.validation, 0, 1)
    network.load_state_dict(checkpoint.load(task.run.folder / task.recipe.training.keep).tensors)
    known, _ = judge(network, task.data, split.validation)
    temperature = fit_temperature(known, task.data.truth[split.validation].numpy())
    judged = _Judged(split.test, *judge(network, task.data, split.test), temperature, method)
    learned_from = np.concatenate([split.training, split.validation])
    return _Outcome(network, learned_from, temperature, fit_threshold(known), history, judged)


def _fit(
    task: _Task, known: Indices, held_out: Indices, fold: int, rounds: int
) -> tuple[ClipNetwork, list[Epoch]]:
    network, settings = copy.deepcopy(task.untrained), task.recipe.training
    if isinstance(network.head.norm, Standardise) and isinstance(
        network.baseline.norm, Standardise
    ):
        network.head.norm.learn(map(network.head.inputs, _features(network, task.data, known)))
        means = (batch.mean(1, keepdim=True) for batch in _features(network, task.data, known))
        network.baseline.norm.learn(means)

    def after_step(step: int, steps: int, loss: float) -> None:
        before = (fold - 1 if fold else rounds - 1) * steps
        task.watch.step(before + step, rounds * steps, loss)

    def after_epoch(history: list[Epoch]) -> None:
        task.watch.epoch(history[-1])
        if len(held_out) and not fold:
            task.run.keep(history, network)

    state = task.run.state(fold)
    history = fit(
        network, task.data, known, held_out, settings, fold, state, after_step, after_epoch
    )
    return network, history


def _features(network: ClipNetwork, data: Data, clips: Indices) -> Iterator[torch.Tensor]:
    """`(B, T, F)` float32, batch by batch: what is standardised."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        for batch in data.batches(clips):
            values = batch.to(device)
            yield (values if values.dim() == 3 else network.backbone(values)).float()


def _finish(
    task: _Task, outcome: _Outcome, out: Path, before: _Before, skipped: dict[str, str]
) -> Trained:
    judged, method = outcome.judged, outcome.judged.method
    seen = {clip.sha256 for clip in before.clips} if before.head else set[str]()
    if flattered := sum(task.clips[i].sha256 in seen for i in judged.clips):
        method += f"; flattering, since {flattered} of these clips had taught the model that it began with"
    if not np.isfinite(judged.logits).all():
        raise VidwatchError("its logits are not finite any more: try a smaller learning_rate")
    truth = task.data.truth[judged.clips].numpy()
    own = score(judged.logits, truth, task.classes, judged.temperature)
    baseline = score(judged.baseline_logits, truth, task.classes)
    manifest = replace(
        task.run.manifest,
        trained_on=_lineage([task.clips[i] for i in outcome.learned_from], before),
        measured=evaluate.figures(own, baseline, method),
        temperature=outcome.temperature,
        unknown_below=outcome.unknown_below,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    judged_clips = [task.clips[i].sha256 for i in judged.clips]
    task.run.keep_held_out(judged_clips, softmax(judged.logits / judged.temperature, axis=1))
    path = checkpoint.save(out, manifest, outcome.network.state_dict())
    report.write(
        task.run.folder, task.recipe, method, own, baseline, outcome.history, task.classes, skipped
    )
    task.run.finish()
    groups = len({clip.group for clip in task.clips})
    return Trained(path, task.run.folder, method, own, baseline, len(task.clips), groups, skipped)


def _lineage(clips: list[LabelledClip], before: _Before) -> tuple[TrainingClip, ...]:
    """All that the model has learned from, itself or as the one it began with; a newer label counts."""
    old = {clip.sha256: clip for clip in before.clips}
    new = {clip.sha256: TrainingClip(clip.sha256, clip.label, clip.group) for clip in clips}
    return tuple(sorted({**old, **new}.values()))

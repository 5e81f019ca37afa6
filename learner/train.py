"""From folders of labelled clips and a recipe to a model, measured on clips it had not seen."""

import hashlib
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from learner import checkpoint, evaluate, report, splits
from learner.batches import Data
from learner.cache import Cache
from learner.calibration import automatic, reliability
from learner.catalogue import weights_path
from learner.checkpoint import TrainingClip
from learner.classifier import Classifier
from learner.contest import compete, hold_out_contest
from learner.dataset import (
    Fill,
    LabelledClip,
    Progress,
    Samples,
    class_names,
    extract,
    read_frames,
)
from learner.errors import VidwatchError
from learner.evaluate import HeadScore, Order, Score, score
from learner.fingerprint import fingerprint
from learner.fit import HEAD_STEPS
from learner.initial import Before, Start, initial_network
from learner.recipe import Recipe
from learner.rounds import Judged, Outcome, Task, Watch, cross_validate, hold_out
from learner.run import Run
from learner.spec import ReadOptions
from learner.splits import Fold, Part, Sources, Split
from learner.weights import weights_digest

__all__ = ["Start", "Trained", "Watch", "train"]

BY_TEST = "on groups kept back for the test"
BY_TEST_FOLDER = "on the clips of the test folder"
AT_RANDOM = (
    "on clips kept back at random: optimistic, since it learned from other clips of the same groups"
)


@dataclass(frozen=True)
class Trained:
    """A saved model, with scores on clips that it had not seen."""

    path: Path
    """Of its weights."""
    run: Path
    """The folder beside it."""
    method: str
    """How it was measured, and what flatters it."""
    score: Score
    baseline: Score
    """Of its baseline, which knows nothing of the order of frames, on the same clips."""
    order: Order
    heads: tuple[HeadScore, ...]
    """The heads that competed, its own one first."""
    clips: int
    groups: int
    skipped: dict[str, str]
    """Files that could not be read, and why."""


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
    fill: Fill | None = None,
) -> Trained:
    """Train `recipe` and save the model at `out`, with a folder `out`.run beside it.

    A run that was ended goes on when it is started again in the same way, to the same result.

    Args:
        sources: the clips.
        out: the model's path, with or without its suffix.
        recipe: the network, and how it is trained.
        start: the weights to begin with, instead of those that the recipe names.
        cache: where frames and features are kept.
        watch: functions that are called with the progress.
        device: "auto" (the GPU if there is one), "cpu" or "cuda".
        exact: how frames of long clips are read, as in `ReadOptions`.
        fill: puts features into the cache first, for a recipe whose backbone stays as it is. What
            it leaves out is computed here.

    Raises:
        VidwatchError: too few classes, groups or readable clips, a model at `out` already, an
            unfinished run of something else there, a start that does not fit, no such device, or a
            loss that is not finite any more.
    """
    start = start or Start()
    cache = cache or Cache()
    watch = watch or Watch()
    checkpoint.require_free(out)
    found, parts = splits.gather(sources)
    _split(recipe, sources, found, parts)  # too few groups are an error before anything is read
    classes = class_names(found)
    reading = ReadOptions(exact=exact)
    untrained, before = initial_network(recipe, classes, start, device, reading)
    manifest = replace(untrained.manifest, precision=untrained.precision)
    run = Run(out.with_name(f"{weights_path(out).stem}.run"), manifest)
    with run.opened(_described(recipe, sources, untrained, found, parts)):
        if fill and recipe.training.freeze:
            fill(found, untrained, cache, watch.reading)
        samples = _read(found, recipe, untrained, cache, watch.reading)
        _require_whole(found, samples, parts)
        clips, optimistic = _grouped(
            recipe, sources, samples, parts, run, untrained.network.appearance
        )
        truth = torch.tensor([classes.index(clip.label) for clip in clips])
        data = Data(
            samples.values,
            truth,
            recipe.augment,
            unit=2 if recipe.network.differences else 1,
            motion=untrained.network.motion,
        )
        task = Task(recipe, clips, classes, data, untrained.network, run, watch)
        split = _split(recipe, sources, clips, parts)
        outcome = _fit(task, split, _method(sources))
        return _finish(task, outcome, out, before, samples.skipped, optimistic)


def _grouped(
    recipe: Recipe,
    sources: Sources,
    samples: Samples,
    parts: dict[str, Part],
    run: Run,
    appearance: int,
) -> tuple[list[LabelledClip], str | None]:
    """The clips with the groups that the names do not state, and why figures by them flatter."""
    if sources.root is None or sources.split == "random":
        return samples.clips, sources.optimistic
    prints: dict[str, bytes] = {}
    if recipe.training.freeze:
        values = zip(samples.clips, samples.values, strict=True)
        prints = {clip.sha256: fingerprint(features[:, :appearance]) for clip, features in values}
    clips, grouping = splits.guess_groups(samples.clips, parts, prints)
    run.require_groups(splits.digest_of_groups(samples.clips, clips))
    return clips, None if sources.test else grouping.optimistic


def _fit(task: Task, split: Split | list[Fold], method: str) -> Outcome:
    competes = task.recipe.network.head != "lstm"
    if not isinstance(split, Split):
        return compete(task, split) if competes else cross_validate(task, split)
    return hold_out_contest(task, split, method) if competes else hold_out(task, split, method)


def _method(sources: Sources) -> str:
    if sources.test:
        return BY_TEST_FOLDER
    return AT_RANDOM if sources.split == "random" else BY_TEST


def _require_whole(found: list[LabelledClip], samples: Samples, parts: dict[str, Part]) -> None:
    """Each class and each folder still has a clip that could be read."""
    reasons = "; ".join(f"{path}: {reason}" for path, reason in samples.skipped.items())
    lost_classes = {clip.label for clip in found} - {clip.label for clip in samples.clips}
    if lost_classes:
        raise VidwatchError(
            f"not one clip of {', '.join(sorted(lost_classes))} can be read: {reasons}"
        )
    lost_parts = {parts[clip.sha256] for clip in found}
    lost_parts -= {parts[clip.sha256] for clip in samples.clips}
    if lost_parts:
        raise VidwatchError(
            f"not one clip of the {' and the '.join(sorted(lost_parts))} folder can be read: "
            f"{reasons}"
        )


def _split(
    recipe: Recipe, sources: Sources, clips: list[LabelledClip], parts: dict[str, Part]
) -> Split | list[Fold]:
    """Folds if the recipe asks for them and nothing else is asked for; else one split."""
    settings = recipe.training
    if settings.folds and sources.split == "group" and not (sources.test or sources.validation):
        return splits.folds(clips, settings.folds, settings.seed)
    return splits.deal(clips, parts, sources.split, settings.seed)


def _read(
    clips: list[LabelledClip],
    recipe: Recipe,
    untrained: Classifier,
    cache: Cache,
    progress: Progress,
) -> Samples:
    """Features if the backbone stays as it is, frames if it learns."""
    if recipe.training.freeze:
        samples = extract(clips, untrained, cache, progress)
    else:
        exact = untrained.reading.exact
        samples = read_frames(clips, untrained.spec, cache, progress, exact=exact)
    cache.trim()
    return samples


def _described(
    recipe: Recipe,
    sources: Sources,
    untrained: Classifier,
    clips: list[LabelledClip],
    parts: dict[str, Part],
) -> dict[str, Any]:
    """What a run must have in common with the one that it goes on with."""
    described = recipe.to_json()
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


def _finish(
    task: Task,
    outcome: Outcome,
    out: Path,
    before: Before,
    skipped: dict[str, str],
    optimistic: str | None,
) -> Trained:
    """Save the model, and write the report of its run.

    Args:
        task: What was trained.
        outcome: The network and how it was judged.
        out: The model's path.
        before: What the weights that it began with were trained on.
        skipped: Files that could not be read, and why.
        optimistic: Why figures by the clips' groups are optimistic; None if they are not.
    """
    judged = outcome.judged
    if not np.isfinite(judged.logits).all():
        raise VidwatchError("its logits are not finite any more: try a smaller learning_rate")
    truth = task.data.truth[judged.clips].numpy()
    own = score(judged.logits, truth, task.classes, judged.calibrated)
    baseline = score(judged.baseline_logits, truth, task.classes)
    method = judged.method + _flattery(task, judged, before)
    if optimistic:
        method += f"; {optimistic}"
    # All of them before calibration, which may have a bias for some class.
    order = Order.of(
        truth,
        judged.logits.argmax(1),
        judged.baseline_logits.argmax(1),
        judged.backwards.argmax(1),
    )
    measured: dict[str, Any] = {
        **evaluate.figures(own, baseline, method),
        "order": asdict(order),
        "heads": [asdict(head) for head in outcome.heads],
        "reliability": reliability(judged.calibrated, truth),
        "automatic": automatic(judged.calibrated, truth),
    }
    if optimistic:
        measured["optimistic"] = optimistic
    manifest = replace(
        task.run.manifest,
        network=outcome.network.args,
        temperature=outcome.calibration.temperature,
        bias=outcome.calibration.bias,
        familiarity=outcome.scale,
        trained_on=_trained_on([task.clips[i] for i in outcome.trained_on], before),
        measured=measured,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    judged_clips = [task.clips[i].sha256 for i in judged.clips]
    task.run.keep_held_out(judged_clips, softmax(judged.calibrated, axis=1))
    reference = outcome.reference.tensors() if outcome.reference else {}
    path = checkpoint.save(out, manifest, outcome.network.state_dict() | reference)
    results = report.Results(
        method=method,
        score=own,
        baseline=baseline,
        order=order,
        heads=outcome.heads,
        reliability=measured["reliability"],
        history=outcome.history,
        classes=task.classes,
        skipped=skipped,
    )
    report.write(task.run.folder, task.recipe, results)
    task.run.finish()
    groups = len({clip.group for clip in task.clips})
    return Trained(
        path=path,
        run=task.run.folder,
        method=method,
        score=own,
        baseline=baseline,
        order=order,
        heads=outcome.heads,
        clips=len(task.clips),
        groups=groups,
        skipped=skipped,
    )


def _flattery(task: Task, judged: Judged, before: Before) -> str:
    """Says how many of the clips that judge had trained the model that it began with."""
    seen = {clip.sha256 for clip in before.clips} if before.head else set[str]()
    count = sum(task.clips[i].sha256 in seen for i in judged.clips)
    if not count:
        return ""
    return f"; flattering, since the model that it began with was trained on {count} of these clips"


def _trained_on(clips: list[LabelledClip], before: Before) -> tuple[TrainingClip, ...]:
    """All clips that the model was trained on, or the one that it began with.

    Of a clip in both, the newer label counts.
    """
    old = {clip.sha256: clip for clip in before.clips}
    new = {clip.sha256: TrainingClip(clip.sha256, clip.label, clip.group) for clip in clips}
    return tuple(sorted({**old, **new}.values()))

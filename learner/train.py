"""From folders of labelled clips and a recipe to a model, measured on clips it had not seen."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from learner import checkpoint, splits
from learner.batches import Data
from learner.cache import Cache
from learner.catalogue import weights_path
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
from learner.distributed import ALONE, Processes
from learner.engines import TORCH
from learner.errors import VidwatchError
from learner.fingerprint import fingerprint
from learner.fit import HEAD_STEPS
from learner.initial import Start, initial_network
from learner.recipe import Recipe
from learner.rounds import Outcome, Task, Watch, cross_validate, hold_out
from learner.run import Run
from learner.spec import ReadOptions
from learner.splits import Fold, Part, Sources, Split
from learner.trained import Trained, finish
from learner.weights import weights_digest

__all__ = ["Start", "Trained", "Watch", "train"]

BY_TEST = "on groups kept back for the test"
BY_TEST_FOLDER = "on the clips of the test folder"
AT_RANDOM = (
    "on clips kept back at random: optimistic, since it learned from other clips of the same groups"
)


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
    processes: Processes = ALONE,
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
        processes: those that train it together; each of them calls this in the same way.
        fill: puts features into the cache first, for a recipe whose backbone stays as it is. What
            it leaves out is computed here.

    Raises:
        VidwatchError: too few classes, groups or readable clips, a model at `out` already, an
            unfinished run of something else there, a start that does not fit, no such device, a
            recipe that several processes cannot train, or a loss that is not finite any more.
    """
    start = start or Start()
    cache = cache or Cache()
    watch = watch or Watch()
    processes.require_learning(recipe)
    checkpoint.require_free(out)
    found, parts = splits.gather(sources)
    _split(recipe, sources, found, parts)  # too few groups are an error before anything is read
    classes = class_names(found)
    reading = ReadOptions(exact=exact)
    untrained, before = initial_network(recipe, classes, start, device, reading)
    processes.require_shareable(untrained)
    manifest = replace(untrained.manifest, precision=untrained.precision)
    folder = out.with_name(f"{weights_path(out).stem}.run")
    run = Run(folder, manifest, writes=processes.is_first)
    described = _described(recipe, sources, untrained, found, parts)
    with run.opened(described):
        with processes.in_turn():
            if fill and recipe.training.freeze:
                fill(found, untrained, cache, watch.reading)
            samples = _read(found, recipe, untrained, cache, watch.reading)
        _require_whole(found, samples, parts)
        clips, optimistic = _grouped(
            recipe, sources, samples, parts, run, untrained.network.appearance
        )
        processes.require_alike(f"{described} {clips}")
        truth = torch.tensor([classes.index(clip.label) for clip in clips])
        data = Data(
            samples.values,
            truth,
            recipe.augment,
            unit=2 if recipe.network.differences else 1,
            motion=untrained.network.motion,
        )
        task = Task(recipe, clips, classes, data, untrained.network, run, watch, processes)
        split = _split(recipe, sources, clips, parts)
        outcome = _fit(task, split, _method(sources))
        return finish(task, outcome, out, before, samples.skipped, optimistic)


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
    engine = untrained.engine.name if recipe.training.freeze else TORCH
    dealt = [(clip.sha256, clip.label, clip.group, parts[clip.sha256]) for clip in clips]
    return {
        "recipe": described,
        "head_steps": HEAD_STEPS,
        "split": sources.split,
        "begins_with": weights_digest(untrained.network),
        "device": untrained.device.type,
        "precision": untrained.precision,
        **({} if engine == TORCH else {"engine": engine}),
        "clips": hashlib.sha256(repr(dealt).encode()).hexdigest(),
    }

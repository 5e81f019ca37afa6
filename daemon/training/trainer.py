"""The process that trains a challenger and compares it with the champion. It uses no database.

A job comes in as JSON, and messages go out as lines of JSON. The process has the lowest priority,
beside a daemon that classifies, and ends with the daemon.
"""

import json
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from daemon.labels.enough import what_is_missing
from daemon.training.job import Job, LabelledFile, can_judge
from learner import promotion
from learner.cache import Cache, Shelf
from learner.catalogue import STARTER
from learner.checkpoint import digest_of
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract, features_shelf, frames_shelf
from learner.errors import VidwatchError
from learner.process import die_with, keep_freed_memory
from learner.promotion import Evidence, Rule
from learner.recipe import HEAD, Frames, Recipe, load
from learner.replay import clips_to_replay
from learner.spec import Augment, ClipSpec, ReadOptions
from learner.splits import Sources
from learner.train import Start, Watch, train

log = logging.getLogger(__name__)

BETWEEN_MESSAGES = 0.5  # seconds, of progress


def main() -> None:
    """Do the job on standard input."""
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the daemon's
    os.nice(19)
    keep_freed_memory()
    job = Job.from_json(sys.stdin.read())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if job.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(job.memory)
    try:
        work(job)
    except VidwatchError as error:
        log.error("%s", error)
        _send(error=str(error))


def work(job: Job) -> None:
    """Train the challenger if it is not trained yet, compare it, and send the verdict.

    Raises:
        VidwatchError: there is too little to learn from, a class of the champion would be lost, or
            a model is damaged.
    """
    cache = Cache(job.cache)
    rule = Rule(**job.rule)
    reading = ReadOptions(exact=job.exact)
    champion = Classifier.load(job.champion, job.device, reading)
    if not job.is_trained:
        _train(job, champion, cache)
        _send(progress="comparing")
    challenger = Classifier.load(job.challenger, job.device, reading)
    if challenger.digest == champion.digest:
        raise VidwatchError("it has the weights of the champion: nothing has changed")
    _send(**_compare(job, rule, champion, challenger, cache))


def _train(job: Job, champion: Classifier, cache: Cache) -> None:
    """Train the challenger and save it."""
    recipe = head_recipe(champion) if job.recipe == HEAD else load(job.recipe)
    same_body = recipe.network.body() == champion.manifest.network.body()
    start = Start(model=Path(job.champion), head=False) if same_body else Start()
    rehearsed = rehearsed_clips(champion, recipe, cache, same_body=same_body)
    clips = choose_clips(job, rehearsed, champion)
    log.info("training clips=%d classes=%s", len(clips), sorted({clip.label for clip in clips}))
    trained = train(
        Sources(clips=clips, optimistic=job.optimistic),
        Path(job.challenger),
        recipe,
        start,
        cache,
        _progress_messages(),
        device=job.device,
        exact=job.exact,
    )
    log.info("trained accuracy=%.3f skipped=%s", trained.score.accuracy, trained.skipped)


def head_recipe(champion: Classifier) -> Recipe:
    """The champion's own network and clips, trained as our default is.

    Its image network stays as it is.
    """
    spec = champion.spec
    return Recipe(
        name=HEAD,
        about="the head of the champion, on features that are stored",
        start="scratch",
        clip=Frames(frames=spec.frames, size=spec.size, fit=spec.fit, motion=spec.motion),
        network=champion.manifest.network,
        augment=Augment(),
        training=load("default").training,
    )


def rehearsed_clips(
    champion: Classifier, recipe: Recipe, cache: Cache, *, same_body: bool
) -> list[LabelledClip]:
    """The clips that the champion was trained on and that are stored as the recipe needs them.

    Args:
        champion: The champion.
        recipe: What trains the challenger.
        cache: Where frames and features of clips are stored.
        same_body: Whether the recipe trains the champion's own network.
    """
    return clips_to_replay(champion, _shelf(champion, recipe, cache, same_body=same_body), cache)


def _shelf(champion: Classifier, recipe: Recipe, cache: Cache, *, same_body: bool) -> Shelf:
    """Where the cache stores what the recipe learns from: frames, or features of a model."""
    if not recipe.training.freeze:
        spec = ClipSpec(**recipe.clip.model_dump())
        return frames_shelf(spec, cache, exact=champion.reading.exact)
    model = champion
    if not same_body:
        model = Classifier.load(STARTER, champion.device.type, champion.reading)
    return features_shelf(model, cache, replace(model.spec, motion=recipe.clip.motion))


def choose_clips(
    job: Job, rehearsed: Sequence[LabelledClip], champion: Classifier
) -> tuple[LabelledClip, ...]:
    """The clips to train on: those of classes that have enough of them.

    They are the labelled clips, and what the champion was trained on, so that it is not forgotten.
    A class is dropped if people gave other labels to all clips that the champion learned it from,
    or took these labels back.

    Args:
        job: Has the labelled clips.
        rehearsed: The clips that `rehearsed_clips` gives.
        champion: The champion.

    Raises:
        VidwatchError: a class that the champion knows would be lost, or fewer than two classes have
            enough clips.
    """
    relabelled = {clip.sha256 for clip in (*job.training, *job.holdout)} | set(job.forgotten)
    clips = [_learner_clip(file) for file in job.training]
    required = set[str]()
    if _keeps_classes(champion, clips):
        known = set(champion.classes)
        # Classes that an earlier model knew, and the champion does not, stay forgotten.
        clips += [
            clip for clip in rehearsed if clip.sha256 not in relabelled and clip.label in known
        ]
        trained_on = champion.manifest.trained_on
        required = known & {clip.label for clip in trained_on if clip.sha256 not in relabelled}
    enough = _classes_with_enough(clips, required, job.min_class_clips)
    if lost := required - enough:
        names = ", ".join(sorted(lost))
        hint = "label clips of two recordings of each"
        raise VidwatchError(
            f"the champion knows {names}, but of the clips that it learned these classes from, too "
            f"few are stored for 'retrain' to learn from ({job.recipe}); {hint}"
        )
    if len(enough) < 2:
        clips_needed = f"{job.min_class_clips} labelled clips of two recordings (min_class_clips)"
        raise VidwatchError(f"fewer than two classes have {clips_needed}")
    return tuple(clip for clip in clips if clip.label in enough)


def _keeps_classes(champion: Classifier, clips: Sequence[LabelledClip]) -> bool:
    """Whether the challenger learns the champion's classes, too.

    The starter's classes are dropped if none of the labels is one of them: the person has clips of
    something else.
    """
    if champion.digest != digest_of(STARTER):
        return True
    return not {clip.label for clip in clips}.isdisjoint(champion.classes)


def _classes_with_enough(
    clips: Sequence[LabelledClip], required: set[str], min_clips: int
) -> set[str]:
    """The classes that have enough clips: any number is enough for those that are required."""
    by_class: dict[str, list[LabelledClip]] = defaultdict(list)
    for clip in clips:
        by_class[clip.label].append(clip)
    enough = set[str]()
    for name, members in by_class.items():
        least = 0 if name in required else min_clips
        groups = {clip.group for clip in members}
        if what_is_missing(len(members), len(groups), least) is None:
            enough.add(name)
    return enough


def _compare(
    job: Job, rule: Rule, champion: Classifier, challenger: Classifier, cache: Cache
) -> Mapping[str, Any]:
    """Compare both models on the holdout; gives the message with the verdict."""
    evidence = find_evidence(job.holdout, champion, challenger, cache)
    result = promotion.judge(evidence, champion.classes, challenger.classes, job.comparison, rule)
    log.info(
        "compared holdout=%d verdict=%s reason=%s", len(evidence), result.verdict, result.reason
    )
    judging = sum(
        can_judge(file.label, champion.classes, biased=file.biased) for file in job.holdout
    )
    figures = {**result.figures, "able": judging}
    return {"verdict": result.verdict, "reason": result.reason, "figures": figures}


def find_evidence(
    holdout: Sequence[LabelledFile], champion: Classifier, challenger: Classifier, cache: Cache
) -> list[Evidence]:
    """What both models predict for the holdout clips that they were not trained on.

    Clips of groups that they were trained on are left out, too, and so are those that cannot be
    read.
    """
    trained_on = [*champion.manifest.trained_on, *challenger.manifest.trained_on]
    seen = {clip.sha256 for clip in trained_on} | {clip.group for clip in trained_on}
    # By the groups of today, too: they may have got other names since the training.
    seen |= {file.group for file in holdout if file.sha256 in seen}
    unseen = [file for file in holdout if seen.isdisjoint((file.sha256, file.group))]
    by_champion = _predicted_classes(unseen, champion, cache)
    by_challenger = _predicted_classes(unseen, challenger, cache)
    return [
        Evidence(
            file.label,
            file.group,
            by_champion[file.sha256],
            by_challenger[file.sha256],
            file.biased,
        )
        for file in unseen
        if file.sha256 in by_champion and file.sha256 in by_challenger
    ]


def _predicted_classes(
    files: Sequence[LabelledFile], model: Classifier, cache: Cache
) -> dict[str, str]:
    """The class that a model predicts for each file that can be read, by SHA-256."""
    if not files:
        return {}
    found = extract([_learner_clip(file) for file in files], model, cache)
    logits = model.logits(found.tensor())
    return {
        clip.sha256: model.classes[row.argmax()]
        for clip, row in zip(found.clips, logits, strict=True)
    }


def _learner_clip(file: LabelledFile) -> LabelledClip:
    return LabelledClip(Path(file.path), file.label, file.group, file.sha256)


def _progress_messages() -> Watch:
    """Sends how far the training is, with a pause after each message."""
    sent_at = 0.0

    def send(progress: str) -> None:
        nonlocal sent_at
        if time.monotonic() > sent_at + BETWEEN_MESSAGES:
            sent_at = time.monotonic()
            _send(progress=progress)

    return Watch(
        reading=lambda done, of: send(f"reading clips, {done} of {of}"),
        step=lambda done, of, loss: send(f"{done / of:.0%}, loss {loss:.3f}"),
    )


def _send(**message: Any) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()

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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from daemon.training.choice import choose
from daemon.training.evidence import find_crossed, find_evidence, learner_clip
from daemon.training.job import Job, can_judge
from learner import promotion
from learner.cache import Cache, Shelf
from learner.catalogue import STARTER
from learner.classifier import Classifier
from learner.dataset import LabelledClip
from learner.errors import PassingError, VidwatchError
from learner.precision import choose_device
from learner.process import die_with, keep_freed_memory
from learner.promotion import Rule
from learner.recipe import HEAD, Frames, Recipe, load
from learner.replay import clips_to_replay
from learner.shelves import features_shelf, frames_shelf
from learner.spec import Augment, ClipSpec, ReadOptions
from learner.splits import Sources
from learner.train import Start, Watch, train

log = logging.getLogger(__name__)

BETWEEN_MESSAGES = 0.5  # seconds, of progress
# Of the clips, the share that a pooled head has to be wrong on for an LSTM to be tried: it takes
# minutes, and the answer is waited for.
LSTM_ABOVE = 0.1
ROOM = "end other programs that use the GPU, or raise training_memory"


def main() -> None:
    """Do the job on standard input."""
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the daemon's
    os.nice(19)
    keep_freed_memory()
    job = Job.from_json(sys.stdin.read())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    answer(job)


def answer(job: Job) -> None:
    """Do the job, and send the verdict, or why there is none."""
    try:
        if choose_device(job.device).type == "cuda":
            torch.cuda.set_per_process_memory_fraction(job.memory)
        work(job)
    except torch.OutOfMemoryError as error:
        _fail(PassingError(f"the GPU has no memory for it beside the daemon ({error}); {ROOM}"))
    except VidwatchError as error:
        _fail(error)


def _fail(error: VidwatchError) -> None:
    log.error("%s", error)
    may_pass = {"passing": True} if isinstance(error, PassingError) else {}
    _send(error=str(error), **may_pass)


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
        network=replace(champion.manifest.network, head="best", baseline="spread"),
        augment=Augment(),
        training=replace(load("default").training, lstm_above=LSTM_ABOVE),
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

    Args:
        job: Has the labelled clips.
        rehearsed: The clips that `rehearsed_clips` gives.
        champion: The champion.

    Raises:
        VidwatchError: as `choose`.
    """
    manifest = {"classes": champion.classes, "trained_on": champion.manifest.trained_on}
    choice = choose(job, manifest, {clip.sha256 for clip in rehearsed})
    clips = [learner_clip(file) for file in job.training]
    clips += [clip for clip in rehearsed if clip.sha256 in choice.rehearsed]
    return tuple(clip for clip in clips if clip.label in choice.classes)


def _compare(
    job: Job, rule: Rule, champion: Classifier, challenger: Classifier, cache: Cache
) -> Mapping[str, Any]:
    """Compare both models; gives the message with the verdict."""
    evidence = find_evidence(job.holdout, champion, challenger, cache)
    paths = (Path(job.challenger), Path(job.champion))
    crossed = find_crossed(job.training, *paths, challenger, champion, cache)
    result = promotion.judge(
        evidence,
        champion.classes,
        challenger.classes,
        job.comparison,
        rule,
        crossed,
        job.optimistic,
        labelled={file.label for file in (*job.training, *job.holdout)},
    )
    counts = f"holdout={len(evidence)} crossed={len(crossed)}"
    log.info("compared %s verdict=%s reason=%s", counts, result.verdict, result.reason)
    judging = sum(
        can_judge(file.label, champion.classes, biased=file.biased) for file in job.holdout
    )
    figures = {**result.figures, "able": judging}
    figures["next"] += offer(result.verdict, figures, Path(job.challenger).name)
    return {"verdict": result.verdict, "reason": result.reason, "figures": figures}


def offer(verdict: str, figures: Mapping[str, Any], challenger: str) -> str:
    """How to take an undecided challenger that is ahead as counted; empty if it is not."""
    if verdict != "undecided":
        return ""
    first = figures.get("first")
    ahead = first["right"] - first["guessing"] if first else figures["gains"] - figures["losses"]
    if ahead <= 0:
        return ""
    return f" If you are content with it as it is: 'vidwatch models promote {challenger}'."


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

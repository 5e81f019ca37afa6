"""The process that trains a challenger and compares it with the champion. It is told what to do, and knows no database.

A job comes in as JSON; what happens goes out as lines of JSON. It runs at the lowest priority, beside a daemon that
classifies, and ends with it.
"""

import json
import logging
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from learner import promotion
from learner.cache import Cache
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

BETWEEN_NEWS = 0.5  # seconds


@dataclass(frozen=True)
class LabelledFile:
    """A clip with the label that counts; `path` is where it was when the job began, in the file system's encoding."""

    path: str
    label: str
    group: str
    sha256: str
    picked: bool

    def clip(self) -> LabelledClip:
        """As the learner knows it."""
        return LabelledClip(Path(self.path), self.label, self.group, self.sha256)


@dataclass(frozen=True)
class Job:
    """Train `challenger` on `training`, but where it is trained already; compare it with `champion` on `holdout`.

    `look` counts the comparisons with this champion; `memory` is the share of a GPU's memory, `cache` is in bytes. What
    content is `forgotten` was learned from once, by a label that does not count any more.
    """

    challenger: str
    champion: str
    is_trained: bool
    recipe: str
    device: str
    memory: float
    cache: int
    min_class_clips: int
    training: tuple[LabelledFile, ...]
    holdout: tuple[LabelledFile, ...]
    forgotten: tuple[str, ...]
    look: int
    rule: Rule
    exact: bool = False

    @classmethod
    def read(cls, text: str) -> Self:
        """The job that JSON describes. Not by pydantic: it takes no names of files that are not UTF-8."""
        fields = json.loads(text)
        files = {
            side: tuple(LabelledFile(**clip) for clip in fields[side])
            for side in ("training", "holdout")
        }
        return cls(
            **{
                **fields,
                **files,
                "forgotten": tuple(fields["forgotten"]),
                "rule": Rule(**fields["rule"]),
            }
        )


def main() -> None:
    """Do the job on standard input."""
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the daemon's
    os.nice(19)
    keep_freed_memory()
    job = Job.read(sys.stdin.read())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if job.device != "cpu" and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(job.memory)
    try:
        work(job)
    except VidwatchError as error:
        log.error("%s", error)
        _tell(error=str(error))


def work(job: Job) -> None:
    """Train and compare; tells the verdict.

    Raises:
        VidwatchError: nothing to learn from, a class of the champion's of which nothing is left, a damaged model.
    """
    cache = Cache(job.cache)
    reading = ReadOptions(exact=job.exact)
    champion = Classifier.load(job.champion, job.device, reading)
    if not job.is_trained:
        recipe = head_of(champion) if job.recipe == HEAD else load(job.recipe)
        same_body = recipe.network.body() == champion.manifest.network.body()
        start = Start(model=Path(job.champion), head=False) if same_body else Start()
        learned = recalled(champion, recipe, same_body, cache)
        clips = choose(job, learned, champion)
        log.info("training clips=%d classes=%s", len(clips), sorted({clip.label for clip in clips}))
        trained = train(
            Sources(clips=clips),
            Path(job.challenger),
            recipe,
            start,
            cache,
            _watch(),
            device=job.device,
            exact=job.exact,
        )
        log.info("trained accuracy=%.3f skipped=%s", trained.score.accuracy, trained.skipped)
        _tell(progress="comparing")
    challenger = Classifier.load(job.challenger, job.device, reading)
    if challenger.digest == champion.digest:
        raise VidwatchError("it is the very model that answers: nothing has changed")
    evidence = compare(job.holdout, champion, challenger, cache)
    able = sum(not clip.picked or clip.label not in champion.classes for clip in job.holdout)
    known = promotion.judge(evidence, champion.classes, challenger.classes, job.look, job.rule)
    log.info("compared holdout=%d verdict=%s reason=%s", len(evidence), known.verdict, known.reason)
    _tell(verdict=known.verdict, reason=known.reason, figures={**known.figures, "able": able})


def head_of(champion: Classifier) -> Recipe:
    """The champion's own network and clips, trained as our default is: its image network stays as it is."""
    spec = champion.spec
    return Recipe(
        name=HEAD,
        about="the head of the model that answers, on features that are stored",
        start="scratch",
        clip=Frames(frames=spec.frames, size=spec.size, fit=spec.fit),
        network=champion.manifest.network,
        augment=Augment(),
        training=load("default").training,
    )


def recalled(
    champion: Classifier, recipe: Recipe, same_body: bool, cache: Cache
) -> list[LabelledClip]:
    """What the champion learned from, as far as there is stored of it what `recipe` learns from."""
    if not recipe.training.freeze:
        spec = ClipSpec(**recipe.clip.model_dump())
        shelf = frames_shelf(spec, cache, exact=champion.reading.exact)
    elif same_body:
        shelf = features_shelf(champion, cache)
    else:
        starter = Classifier.load(STARTER, champion.device.type, champion.reading)
        shelf = features_shelf(starter, cache)
    return clips_to_replay(champion, shelf, cache)


def choose(
    job: Job, learned: Sequence[LabelledClip], champion: Classifier
) -> tuple[LabelledClip, ...]:
    """The labelled clips of classes that have enough, with what the champion learned from, so that it is not forgotten.

    A class goes where people have labelled all that taught it otherwise, or taken those labels back.

    Raises:
        VidwatchError: a class that the champion knows would be lost, or fewer than two classes have enough.
    """
    said = {clip.sha256 for clip in (*job.training, *job.holdout)} | set(job.forgotten)
    clips = [clip.clip() for clip in job.training]
    required = set[str]()
    # Whose labels name none of the starter's actions has clips of something else, and no use for it.
    if champion.digest != digest_of(STARTER) or {clip.label for clip in clips} & set(
        champion.classes
    ):
        # What a model before it knew, and it does not any more, stays forgotten.
        clips += [
            clip for clip in learned if clip.sha256 not in said and clip.label in champion.classes
        ]
        required = {clip.label for clip in champion.manifest.trained_on if clip.sha256 not in said}
        required &= set(champion.classes)
    by_class: dict[str, list[LabelledClip]] = defaultdict(list)
    for clip in clips:
        by_class[clip.label].append(clip)
    enough = {
        name
        for name, found in by_class.items()
        if len({clip.group for clip in found}) >= 2
        and (name in required or len(found) >= job.min_class_clips)
    }
    if lost := required - enough:
        raise VidwatchError(
            f"the model that answers knows {', '.join(sorted(lost))}, and too little is stored of what it learned "
            f"there for 'retrain' to learn from ({job.recipe}); label clips of two recordings of each"
        )
    if len(enough) < 2:
        least = job.min_class_clips
        raise VidwatchError(
            f"fewer than two classes have {least} labelled clips of two recordings (min_class_clips)"
        )
    return tuple(clip for clip in clips if clip.label in enough)


def compare(
    holdout: Sequence[LabelledFile], champion: Classifier, challenger: Classifier, cache: Cache
) -> list[Evidence]:
    """What both say of the clips of which neither has seen anything, nor anything of their groups."""
    taught = [*champion.manifest.trained_on, *challenger.manifest.trained_on]
    seen = {clip.sha256 for clip in taught} | {clip.group for clip in taught}
    unseen = [clip for clip in holdout if not {clip.sha256, clip.group} & seen]
    ours, theirs = (_answers(unseen, model, cache) for model in (champion, challenger))
    return [
        Evidence(clip.label, clip.group, ours[clip.sha256], theirs[clip.sha256], clip.picked)
        for clip in unseen
        if clip.sha256 in ours and clip.sha256 in theirs
    ]


def _answers(files: Sequence[LabelledFile], model: Classifier, cache: Cache) -> dict[str, str]:
    if not files:
        return {}
    found = extract([clip.clip() for clip in files], model, cache)
    logits = model.logits(found.tensor())
    return {
        clip.sha256: model.classes[row.argmax()]
        for clip, row in zip(found.clips, logits, strict=True)
    }


def _watch() -> Watch:
    told = 0.0

    def rarely(progress: str) -> None:
        nonlocal told
        if time.monotonic() > told + BETWEEN_NEWS:
            told = time.monotonic()
            _tell(progress=progress)

    return Watch(
        reading=lambda done, of: rarely(f"reading clips, {done} of {of}"),
        step=lambda done, of, loss: rarely(f"{done / of:.0%}, loss {loss:.3f}"),
    )


def _tell(**news: Any) -> None:
    print(json.dumps(news), flush=True)


if __name__ == "__main__":
    main()

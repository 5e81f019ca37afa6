"""What both models predict for the clips that judge, of the holdout and by cross-validation."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from daemon.labels.label_errors import read_held_out
from daemon.training.job import LabelledFile
from learner.cache import Cache
from learner.catalogue import weights_path
from learner.classifier import Classifier
from learner.dataset import LabelledClip, extract
from learner.errors import VidwatchError
from learner.evidence import Evidence

log = logging.getLogger(__name__)


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
        _evidence(file, by_champion[file.sha256], by_challenger[file.sha256])
        for file in unseen
        if file.sha256 in by_champion and file.sha256 in by_challenger
    ]


def find_crossed(
    training: Sequence[LabelledFile],
    challenger_path: Path,
    champion_path: Path,
    challenger: Classifier,
    champion: Classifier,
    cache: Cache,
) -> list[Evidence]:
    """What both models predict for the clips that the challenger learned from.

    The challenger predicts each by cross-validation: by a model that did not learn from the clip's
    group. So does the champion if it learned from the clip, too. Else it predicts the clip itself,
    if it learned from no other clip of the group. Clips that neither is true of are left out,
    unless the champion does not know their class: it is wrong on these.

    Args:
        training: The labelled clips that train, with the newest labels.
        challenger_path: Of the model.
        champion_path: Of the model.
        challenger: The challenger.
        champion: The champion.
        cache: Where features are stored.
    """
    by_challenger = _held_out_classes(challenger_path)
    if not by_challenger:
        return []
    held_out = _held_out_classes(champion_path)
    learned = {clip.sha256 for clip in champion.manifest.trained_on}
    learned |= {clip.group for clip in champion.manifest.trained_on}
    learned |= {file.group for file in training if file.sha256 in learned}
    unseen = [
        file
        for file in training
        if file.sha256 in by_challenger
        and file.label in champion.classes
        and learned.isdisjoint((file.sha256, file.group))
    ]
    by_champion = _predicted_classes(unseen, champion, cache) | held_out
    return list(_crossed(training, challenger, champion, by_challenger, by_champion, held_out))


def _crossed(
    training: Sequence[LabelledFile],
    challenger: Classifier,
    champion: Classifier,
    by_challenger: Mapping[str, str],
    by_champion: Mapping[str, str],
    held_out: Mapping[str, str],
) -> Iterator[Evidence]:
    """The labelled clips, then those without a label here that the challenger learned again."""
    labelled = {file.sha256 for file in training}
    for file in training:
        if file.sha256 not in by_challenger:
            continue
        if file.sha256 in by_champion or file.label not in champion.classes:
            # A label that the champion has learned was not given because of its prediction.
            is_biased = file.biased and file.sha256 not in held_out
            found = by_champion.get(file.sha256, "")
            yield _evidence(file, found, by_challenger[file.sha256], is_biased)
    for clip in challenger.manifest.trained_on:
        if clip.sha256 in labelled or clip.sha256 not in by_challenger:
            continue
        if clip.sha256 in held_out:
            of_champion = held_out[clip.sha256]
            yield Evidence(clip.label, clip.group, of_champion, by_challenger[clip.sha256])


def _evidence(
    file: LabelledFile, champion: str, challenger: str, is_biased: bool | None = None
) -> Evidence:
    biased = file.biased if is_biased is None else is_biased
    return Evidence(file.label, file.group, champion, challenger, biased, file.guessed)


def _held_out_classes(model: Path) -> dict[str, str]:
    """The class that cross-validation predicts for each clip, by SHA-256; empty if not stored."""
    weights = weights_path(model)
    file = weights.with_name(f"{weights.stem}.run") / "held_out.json"
    if not file.is_file():
        return {}
    try:
        held_out = read_held_out(file)
    except VidwatchError as error:
        log.warning("%s", error)
        return {}
    return {
        sha256: held_out.classes[max(range(len(row)), key=row.__getitem__)]
        for sha256, row in held_out.probabilities.items()
    }


def _predicted_classes(
    files: Sequence[LabelledFile], model: Classifier, cache: Cache
) -> dict[str, str]:
    """The class that a model predicts for each file that can be read, by SHA-256."""
    if not files:
        return {}
    found = extract([learner_clip(file) for file in files], model, cache)
    logits = model.manifest.calibration.calibrated(model.logits(found.tensor()))
    return {
        clip.sha256: model.classes[row.argmax()]
        for clip, row in zip(found.clips, logits, strict=True)
    }


def learner_clip(file: LabelledFile) -> LabelledClip:
    """The clip as training reads it."""
    return LabelledClip(Path(file.path), file.label, file.group, file.sha256, file.part)

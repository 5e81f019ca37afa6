"""Finds labels that are likely wrong, by the predictions for clips that a training held out."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from learner.catalogue import find_models
from learner.errors import VidwatchError


@dataclass(frozen=True)
class HeldOut:
    """What a training predicted for the clips that it held out."""

    model: str
    classes: tuple[str, ...]
    probabilities: Mapping[str, Sequence[float]]
    """By the SHA-256 of the clip: one probability a class, in the order of `classes`."""


@dataclass(frozen=True)
class LabelError:
    """A label that is likely wrong."""

    sha256: str
    probability: float
    """The probability of the label."""
    other: str
    """The class that may be right: the model is sure of it, and it is likelier than the label."""
    other_probability: float
    margin: float
    """The normalised margin: the probability of the label less the highest of the others."""


def newest_held_out(models: Path) -> HeldOut | None:
    """The held-out predictions of the newest training; None if there are none.

    Args:
        models: The folder of the trained models. A training does not count if its model is gone,
            or is no better than guessing: it would doubt labels that are right.

    Raises:
        VidwatchError: the file of the predictions is damaged.
    """
    found = find_models(models)
    names = [model.name for model in found if not model.problem and model.beats_chance]
    files = [models / f"{name}.run" / "held_out.json" for name in names]
    files = [file for file in files if file.is_file()]
    if not files:
        return None
    return read_held_out(max(files, key=lambda file: file.stat().st_mtime_ns))


def read_held_out(file: Path) -> HeldOut:
    """The held-out predictions of one training.

    Raises:
        VidwatchError: the file is damaged.
    """
    try:
        document = json.loads(file.read_text())
        classes = tuple(document["classes"])
        clips = document["clips"].items()
        probabilities = {sha256: tuple(map(float, values)) for sha256, values in clips}
        if any(len(values) != len(classes) for values in probabilities.values()):
            raise ValueError("not one probability a class")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "remove it, or train again"
        raise VidwatchError(f"{file}: not written by a training ({error}); {hint}") from error
    return HeldOut(file.parent.name.removesuffix(".run"), classes, probabilities)


def find_label_errors(classes: Mapping[str, str], held_out: HeldOut) -> list[LabelError]:
    """Find the labels that are likely wrong, the worst first, by confident learning.

    The method is that of Northcutt, Jiang and Chuang, 2021, "Confident Learning: Estimating
    Uncertainty in Dataset Labels". A model is sure of a class if it gives the class at least the
    probability that the clips with that label have on average. A label is likely wrong if the
    likeliest of the classes that the model is sure of is another one, and likelier than the label.

    It is written out here because cleanlab, which has it, is under the AGPL and needs pandas.
    cleanlab also finds labels whose clips have a likeliest class that the model is not sure of: 113
    more beside 15,764, in 200 random data sets.

    Args:
        classes: The label of each clip, by SHA-256.
        held_out: The predictions. Clips and classes that they do not have are left out.
    """
    index = {name: i for i, name in enumerate(held_out.classes)}
    judged = {
        sha256: index[name]
        for sha256, name in classes.items()
        if sha256 in held_out.probabilities and name in index
    }
    of_label = defaultdict(list)
    for sha256, label in judged.items():
        of_label[label].append(held_out.probabilities[sha256][label])
    sure_from = {label: fmean(values) for label, values in of_label.items()}
    errors = []
    for sha256, label in judged.items():
        p = held_out.probabilities[sha256]
        sure = [i for i, least in sure_from.items() if p[i] >= least]
        likeliest = max(sure, key=p.__getitem__, default=label)
        if p[likeliest] > p[label]:
            margin = p[label] - max(p[i] for i in range(len(p)) if i != label)
            other = held_out.classes[likeliest]
            errors.append(LabelError(sha256, p[label], other, p[likeliest], margin))
    return sorted(errors, key=lambda error: error.margin)

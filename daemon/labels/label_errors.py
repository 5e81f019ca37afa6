"""Which labels a model is strongly against, by what it said of clips that it had not learned from."""

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
    """What a training said of clips held out: their probabilities by SHA-256, in the order of `classes`."""

    model: str
    classes: tuple[str, ...]
    clips: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class LabelError:
    """A clip's label has this `probability`, and another class, of which the model is sure, a higher one.

    `margin` is the normalised one: the label's probability less the highest of the others.
    """

    sha256: str
    probability: float
    other: str
    other_probability: float
    margin: float


def newest_held_out(models: Path) -> HeldOut | None:
    """What the newest training left in its run's folder, of the models that lie in `models`; None where none did.

    Raises:
        VidwatchError: it is damaged.
    """
    names = [model.name for model in find_models(models) if not model.problem]
    left = [path for name in names if (path := models / f"{name}.run" / "held_out.json").is_file()]
    if not left:
        return None
    path = max(left, key=lambda path: path.stat().st_mtime_ns)
    try:
        document = json.loads(path.read_text())
        classes = tuple(document["classes"])
        clips = {sha256: tuple(map(float, values)) for sha256, values in document["clips"].items()}
        if any(len(values) != len(classes) for values in clips.values()):
            raise ValueError("not one probability a class")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VidwatchError(
            f"{path}: not what training leaves there ({error}); remove it, or train again"
        ) from error
    return HeldOut(path.parent.name.removesuffix(".run"), classes, clips)


def find_label_errors(classes: Mapping[str, str], held_out: HeldOut) -> list[LabelError]:
    """The doubted of these labels (by SHA-256), the worst first, by confident learning.

    Northcutt, Jiang and Chuang, 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels": a model is sure
    of a class where it gives it at least the probability that clips with that label have on average. A label is doubted
    where the likeliest of the classes that it is sure of is another one, and likelier than the label. Written out here:
    cleanlab, which has it, is under the AGPL and needs pandas. It also doubts labels where the likeliest class of all
    is one that the model is not sure of: 113 more beside 15,764, in 200 random data sets.
    """
    index = {name: i for i, name in enumerate(held_out.classes)}
    judged = {
        sha256: index[name]
        for sha256, name in classes.items()
        if sha256 in held_out.clips and name in index
    }
    own = defaultdict(list)
    for sha256, label in judged.items():
        own[label].append(held_out.clips[sha256][label])
    usual = {label: fmean(values) for label, values in own.items()}
    found = []
    for sha256, label in judged.items():
        p = held_out.clips[sha256]
        other = max((i for i in usual if p[i] >= usual[i]), key=p.__getitem__, default=label)
        if p[other] > p[label]:
            margin = p[label] - max(p[i] for i in range(len(p)) if i != label)
            found.append(LabelError(sha256, p[label], held_out.classes[other], p[other], margin))
    return sorted(found, key=lambda doubt: doubt.margin)

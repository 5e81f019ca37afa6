"""What a model learned from, for the model that follows it: without rehearsal, that one would know the new clips alone.

Features of clips lie in the cache since they were read; those of the starter's clips come with it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learner.cache import Cache, Shelf
from learner.catalogue import STARTER
from learner.classifier import Classifier
from learner.dataset import LabelledClip, features_shelf
from learner.errors import VidwatchError
from learner.models import weights_digest

Array = np.ndarray[Any, Any]

PACK = STARTER.with_suffix(".npz")


def recall(model: Classifier, shelf: Shelf, cache: Cache) -> list[LabelledClip]:
    """The clips that `model` learned from, of which `shelf` has what the next one learns from. They have no file."""
    features = features_shelf(model, cache)
    for sha256, values in _unpack(PACK, _source(model)):
        if features.get(sha256) is None:
            features.put(sha256, values)
    return [
        LabelledClip(
            Path(f"a clip that {model.name} learned from"), clip.label, clip.group, clip.sha256
        )
        for clip in model.manifest.trained_on
        if shelf.get(clip.sha256) is not None
    ]


def pack(model: Classifier, shelf: Shelf, path: Path) -> None:
    """Write the features of all clips that `model` learned from to one file, a byte for each."""
    names = [clip.sha256 for clip in model.manifest.trained_on]
    stored = [values for name in names if (values := shelf.get(name)) is not None]
    if len(stored) < len(names):
        raise VidwatchError(
            f"features of {len(names) - len(stored)} clips are not in the cache; train the model again"
        )
    values = np.stack(stored).astype(np.float32)
    low, high = values.min((0, 1)), values.max((0, 1))
    step = np.maximum(high - low, 1e-6) / 255
    levels = np.rint((values - low) / step).astype(np.uint8)
    np.savez_compressed(
        path, source=_source(model), names=np.array(names), levels=levels, low=low, step=step
    )


def _unpack(path: Path, source: str) -> Iterator[tuple[str, Array]]:
    """The features by their clip's content, where the backbone that gave them is `source`."""
    with np.load(path) as file:
        if str(file["source"]) == source:
            values = (file["low"] + file["levels"] * file["step"]).astype(np.float16)
            yield from zip(file["names"].tolist(), values, strict=True)


def _source(model: Classifier) -> str:
    body = model.manifest.network.body()
    weights = weights_digest(model.network.backbone)
    return f"({model.spec.identity()}, {body!r}, {weights!r})"


if (
    __name__ == "__main__"
):  # python -m learner.rehearsal MODEL: beside the model that `make starter` has trained
    _model = Classifier.load(sys.argv[1])
    pack(_model, features_shelf(_model, Cache()), Path(sys.argv[1]).with_suffix(".npz"))

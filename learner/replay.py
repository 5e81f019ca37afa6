"""The clips that a model was trained on, to train the next one on them, too (replay).

Without them, the next model would know the new clips alone. Features of clips are in the cache
since the clips were read; those of the starter's clips come with the package.
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
from learner.weights import weights_digest

Array = np.ndarray[Any, Any]

STARTER_FEATURES = STARTER.with_suffix(".npz")


def clips_to_replay(model: Classifier, shelf: Shelf, cache: Cache) -> list[LabelledClip]:
    """The clips that `model` was trained on and that are on `shelf`. They have no file.

    Args:
        model: if its backbone is the starter's, the starter's features are put into the cache.
        shelf: frames or features, whatever the next model learns from.
        cache: where the features of `model` are.
    """
    features = features_shelf(model, cache)
    for sha256, values in _read_features(STARTER_FEATURES, _made_by(model)):
        if features.get(sha256) is None:
            features.put(sha256, values)
    path = Path(f"a clip that {model.name} was trained on")
    return [
        LabelledClip(path, clip.label, clip.group, clip.sha256)
        for clip in model.manifest.trained_on
        if shelf.get(clip.sha256) is not None
    ]


def save_features(model: Classifier, shelf: Shelf, path: Path) -> None:
    """Write the features of all clips that `model` was trained on to one file, a byte for each.

    Raises:
        VidwatchError: some of them are not on `shelf`.
    """
    names = [clip.sha256 for clip in model.manifest.trained_on]
    stored = [values for name in names if (values := shelf.get(name)) is not None]
    if len(stored) < len(names):
        missing = len(names) - len(stored)
        raise VidwatchError(
            f"features of {missing} clips are not in the cache; train the model again"
        )
    values = np.stack(stored).astype(np.float32)
    low = values.min((0, 1))
    high = values.max((0, 1))
    step = np.maximum(high - low, 1e-6) / 255
    levels = np.rint((values - low) / step).astype(np.uint8)
    np.savez_compressed(
        path, source=_made_by(model), names=np.array(names), levels=levels, low=low, step=step
    )


def _read_features(path: Path, made_by: str) -> Iterator[tuple[str, Array]]:
    """The features by the SHA-256 of their clips, if they are of the backbone `made_by`."""
    with np.load(path) as file:
        if str(file["source"]) == made_by:
            values = (file["low"] + file["levels"] * file["step"]).astype(np.float16)
            yield from zip(file["names"].tolist(), values, strict=True)


def _made_by(model: Classifier) -> str:
    # The text that version 0.1 wrote into the starter's file: it must not change.
    body = model.manifest.network.body()
    weights = weights_digest(model.network.backbone)
    return f"({model.spec.identity()}, {body!r}, {weights!r})"


# python -m learner.replay MODEL: writes MODEL.npz beside the model that `make starter` has trained.
if __name__ == "__main__":
    _model = Classifier.load(sys.argv[1])
    save_features(_model, features_shelf(_model, Cache()), Path(sys.argv[1]).with_suffix(".npz"))

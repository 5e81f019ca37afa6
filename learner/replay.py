"""Finds the clips that a model was trained on, so that the next model is trained on them as well.

This is called replay. Without it, the next model would know the new clips alone. The features of
the clips have been in the cache since the clips were read; those of the starter's clips come with
the package.
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
    """Write the starter's features into the cache, and return the clips to replay.

    These are the clips that `model` was trained on and that are on `shelf`. Their `path` is only a
    description for messages.

    Args:
        model: the starter's features are written only if its backbone is the starter's.
        shelf: frames or features, whatever the next model learns from.
        cache: where the features of `model` are.
    """
    features = features_shelf(model, cache)
    for sha256, values in _read_features(STARTER_FEATURES, _backbone_id(model)):
        if features.get(sha256) is None:
            features.put(sha256, values)
    path = Path(f"a clip that {model.name} was trained on")
    return [
        LabelledClip(path, clip.label, clip.group, clip.sha256)
        for clip in model.manifest.trained_on
        if shelf.get(clip.sha256) is not None
    ]


def save_features(model: Classifier, shelf: Shelf, path: Path) -> None:
    """Write the features of all clips that `model` was trained on to one file.

    The file has one byte per feature value.

    Raises:
        VidwatchError: some of them are not on `shelf`.
    """
    names = [clip.sha256 for clip in model.manifest.trained_on]
    stored = [values for name in names if (values := shelf.get(name)) is not None]
    if len(stored) < len(names):
        missing = len(names) - len(stored)
        raise VidwatchError(
            f"features of {missing} clips are not in the cache; train {model.name} again"
        )
    values = np.stack(stored).astype(np.float32)
    low = values.min((0, 1))
    high = values.max((0, 1))
    step = np.maximum(high - low, 1e-6) / 255
    levels = np.rint((values - low) / step).astype(np.uint8)
    np.savez_compressed(
        path, source=_backbone_id(model), names=np.array(names), levels=levels, low=low, step=step
    )


def _read_features(path: Path, backbone_id: str) -> Iterator[tuple[str, Array]]:
    """The SHA-256 and the features of each clip in a file; none if of another backbone."""
    with np.load(path) as file:
        if str(file["source"]) == backbone_id:
            values = (file["low"] + file["levels"] * file["step"]).astype(np.float16)
            yield from zip(file["names"].tolist(), values, strict=True)


def _backbone_id(model: Classifier) -> str:
    """Names the backbone with its weights, and the frames that it takes."""
    # The text that version 0.1 wrote into the starter's file: it must not change.
    body = model.manifest.network.body()
    weights = weights_digest(model.network.backbone)
    return f"({model.spec.identity()}, {body!r}, {weights!r})"


# python -m learner.replay MODEL: writes MODEL.npz beside the model that `make starter` has trained.
if __name__ == "__main__":
    _model = Classifier.load(sys.argv[1])
    save_features(_model, features_shelf(_model, Cache()), Path(sys.argv[1]).with_suffix(".npz"))

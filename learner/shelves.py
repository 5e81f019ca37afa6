"""Under which keys frames and features of clips are stored."""

from dataclasses import replace

import av
import cv2
import timm
import torch

from learner.cache import Cache, Shelf
from learner.classifier import Classifier
from learner.engines import TORCH
from learner.motion import MOTION
from learner.spec import ClipSpec
from learner.weights import weights_digest

# Raised whenever the same file may give other frames than before: cached values of the old ones are
# not used any more.
DECODING = 4
# Raised whenever the same frames may give other features than before.
FORWARD = 1
# The first FORWARD, and the version of OpenCV, which scales cropped frames, that made features
# before keys named them. Keys of these stay as they were.
UNNAMED = (1, "5.0.0")


def frames_shelf(spec: ClipSpec, cache: Cache, *, exact: bool = False) -> Shelf:
    """Where frames lie. Its key is all that they depend on beside their clip.

    Frames are stored before they are normalised: `mean` and `std` are not in the key.
    """
    frames = replace(spec, mean=(), std=(), motion=False).identity()
    return cache.shelf("frames", f"({frames}, {exact!r}, {DECODING!r}, {av.__version__!r})")


def features_shelf(classifier: Classifier, cache: Cache, spec: ClipSpec | None = None) -> Shelf:
    """Where the features lie that the backbone gave; `spec` is as for `features_key`."""
    return cache.shelf("features", features_key(classifier, spec))


def features_key(classifier: Classifier, spec: ClipSpec | None = None) -> str:
    """All that features of the classifier's backbone depend on beside their clip.

    That is the backbone, its weights, the clip spec (`spec` instead of the classifier's own), how
    clips are read, the precision, and what computes (PyTorch's and OpenVINO's differ in rounding).
    """
    spec = spec or classifier.spec
    network = classifier.manifest.network
    backbone = (
        network.backbone,
        network.stage,
        network.pooled,
        weights_digest(classifier.network.backbone),
    )
    made_by = (
        classifier.device.type,
        classifier.precision,
        torch.__version__,
        timm.__version__,
        av.__version__,
    )
    exact = classifier.reading.exact
    computed_by = (FORWARD, cv2.__version__)
    later = "" if computed_by == UNNAMED else f", {computed_by!r}"
    if classifier.engine.name != TORCH:  # keys of before stay as they were
        later += f", engine={classifier.engine.name!r}"
    if spec.motion:
        later += f", motion={MOTION!r}"
    return f"({backbone!r}, {spec.identity()}, {exact!r}, {made_by!r}, {DECODING!r}{later})"

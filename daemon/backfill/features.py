"""Features of training clips, computed by a cluster and put into this machine's cache."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from daemon.backfill.cluster import ITEMS, cluster, results
from daemon.backfill.steps import CLIPS, outcome_of
from daemon.classify.decoding import Decoders, DecoderSettings, Undecoded
from daemon.home.identity import identify
from daemon.home.settings import Settings
from learner.cache import Cache
from learner.checkpoint import Checkpoint
from learner.classifier import Classifier
from learner.dataset import LabelledClip, Progress
from learner.engines import TORCH
from learner.errors import VidwatchError
from learner.shelves import features_key, features_shelf
from learner.spec import ReadOptions
from learner.video import Clip
from learner.window_plan import content_of

Group = list[tuple[str, Clip]]
Named = list[tuple[str, Any]]
"""Arrays of features, by the names that clips have in the cache."""


@dataclass(frozen=True)
class FeatureSteps:
    """What the workers have to know."""

    backbone: Checkpoint
    device: str
    reading: ReadOptions
    decoding: DecoderSettings
    key: str
    """What the features depend on: theirs have to be the same as this machine's."""
    engine: str
    """What has to compute them, although another one may be faster there."""

    def first(self) -> Callable[[Sequence[LabelledClip]], Iterator[Group]]:
        """Decodes clips."""
        decoders = Decoders(self.decoding)

        def groups(clips: Sequence[LabelledClip]) -> Iterator[Group]:
            group: Group = []
            for clip in clips:
                # What cannot be read is left out: the training says why, when it reads it itself.
                found = _read(decoders, clip)
                if isinstance(found, Clip) and found.sha256 == content_of(clip.sha256):
                    group.append((clip.sha256, found))
                if len(group) == CLIPS:
                    yield group
                    group = []
            yield group

        return groups

    def second(self) -> Callable[[Group], Named]:
        """Computes features.

        Raises:
            VidwatchError: this machine would give others than that of the training.
        """
        classifier = Classifier(self.backbone, self.device, self.reading, self.engine)
        if features_key(classifier) != self.key:
            reason = "its device, its precision or its versions are not those of this machine"
            raise VidwatchError(f"a machine of the cluster computes other features: {reason}")

        def named(group: Group) -> Named:
            if not group:
                return []
            features = classifier.features([clip for _, clip in group]).numpy()
            return [(name, values) for (name, _), values in zip(group, features, strict=True)]

        return named


def _read(decoders: Decoders, clip: LabelledClip) -> Clip | Undecoded:
    path = os.fsencode(os.path.realpath(clip.path))
    try:
        identity = identify(path)
    except OSError as error:
        return Undecoded("later", str(error.strerror))
    if clip.part is None:
        return outcome_of(decoders, lambda: decoders.decode(path, identity))
    part = clip.part
    return outcome_of(decoders, lambda: decoders.part(path, identity, part))


def fill_by_cluster(
    settings: Settings,
) -> Callable[[list[LabelledClip], Classifier, Cache, Progress], None]:
    """A function that fills the cache before a training, as `learner.train.train` takes it."""

    def fill(
        clips: list[LabelledClip], classifier: Classifier, cache: Cache, progress: Progress
    ) -> None:
        shelf = features_shelf(classifier, cache)
        missing = [clip for clip in clips if shelf.get(clip.sha256) is None]
        done = len(clips) - len(missing)
        if not missing:
            return
        waiting = (missing[first : first + ITEMS] for first in range(0, len(missing), ITEMS))
        with cluster():
            for group in results(_steps(classifier, settings), lambda: next(waiting, None)):
                for name, values in group:
                    shelf.put(name, values)
                done += len(group)
                progress(done, len(clips))

    return fill


def _steps(classifier: Classifier, settings: Settings) -> FeatureSteps:
    # As `learner.dataset.extract`: a model learns from whole clips alone.
    reading = replace(classifier.reading, min_read_share=1.0)
    tensors = {name: tensor.cpu() for name, tensor in classifier.network.state_dict().items()}
    decoding = DecoderSettings.of(classifier.spec, 1, settings)
    return FeatureSteps(
        backbone=Checkpoint(classifier.name, classifier.manifest, tensors, classifier.digest),
        device=classifier.device.type,
        reading=classifier.reading,
        decoding=replace(decoding, reading=reading),
        key=features_key(classifier),
        engine="torch" if classifier.engine.name == TORCH else "openvino",
    )

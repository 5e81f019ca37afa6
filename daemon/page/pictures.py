"""The frames that a model saw, as a strip, and the evidence of each frame for each class.

Both are made from the clip's file when the page asks for them. The heavy parts (decoders, the
model) are loaded on first use, so that the page itself is there at once.
"""

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from daemon.home.folder import Home
from daemon.home.identity import Identity, identify
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.page.cards import Card, read_spec
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs
from learner.window_plan import part_name

if TYPE_CHECKING:
    from daemon.classify.decoding import Decoders, Undecoded
    from learner.cache import Cache, Shelf
    from learner.classifier import Classifier
    from learner.video import Clip

WIDEST = 65_000  # pixels: a JPEG cannot be much wider
HIGHEST = 224  # pixels
QUALITY = 85  # of a JPEG
WORKERS = 2
MOST_UNREADABLE = 1000

Part = tuple[float, float]
"""When a part of a video begins and ends, in seconds."""

StepMeaning = Literal["mean", "so far", ""]


@dataclass(frozen=True)
class Evidence:
    """How much each step of a clip is for or against some classes."""

    model: str
    rows: list[tuple[str, float, list[float]]]
    """A class, its logit, and a value for each step."""
    step_meaning: StepMeaning
    """How steps and logit belong together.

    "mean": the mean of a row is its logit. "so far": a step is what the logit would be if the clip
    ended there. "": neither.
    """


class Pictures:
    """Strips and evidence. Calls may come from several threads."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._home = home
        self._settings = settings
        self._decoders: Decoders | None = None
        self._model: tuple[str, Classifier, Shelf] | None = None
        self._decoders_lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._predict_lock = threading.Lock()
        self._unreadable: dict[tuple[bytes, Identity | None], str] = {}

    def close(self) -> None:
        """End the decoders, and keep the cache within its limit."""
        if self._decoders:
            self._decoders.close()
            self._cache().trim()

    def warm(self, model: str) -> None:
        """Start the decoders before the first picture is asked for.

        What is wrong with the model is said when a picture is asked for.
        """
        with suppress(VidwatchError):
            self._decoders_for(read_spec(self._home, model)).prepare()

    def warm_model(self, model: str) -> None:
        """Load a model before the first evidence is asked for, which says what is wrong with it."""
        with suppress(VidwatchError):
            self._load(model)

    def problem(self, card: Card) -> str | None:
        """Why a clip cannot be shown, as far as that is known yet."""
        problem = card.problem or self._unreadable.get(_file(card))
        return card.unnamed(problem) if problem else None

    def strip(self, card: Card, model: str, part: Part | None = None) -> bytes:
        """The frames that `model` takes of a clip, or of a part of it, side by side, as a JPEG.

        Raises:
            VidwatchError: the file cannot be read any more, or holds something else now.
        """
        import numpy as np

        spec = read_spec(self._home, model)
        exact = self._settings.exact_frames
        key = (spec.frames, spec.size, spec.fit, exact, version("vidwatch"), QUALITY)
        shelf = self._cache().shelf("strips", repr(key))
        name = part_name(card.sha256, *part) if part else card.sha256
        cached = shelf.get(name)
        if cached is None:
            cached = np.frombuffer(_jpeg(self._read(card, spec, part).frames), np.uint8)
            shelf.put(name, cached)
        return cached.tobytes()

    def poster(self, card: Card, model: str) -> bytes:
        """The frame in the middle of `strip`, as a JPEG.

        Raises:
            VidwatchError: as `strip`.
        """
        import cv2
        import numpy as np

        picture = cv2.imdecode(np.frombuffer(self.strip(card, model), np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        height, width = picture.shape[:2]  # the frames are square
        left = width // height // 2 * height
        return cv2.imencode(".jpg", picture[:, left : left + height])[1].tobytes()

    def evidence(self, card: Card, model: str, limit: int) -> Evidence:
        """The evidence for the `limit` classes that `model` finds likeliest.

        Raises:
            VidwatchError: the model cannot be loaded, or the file cannot be read any more.
        """
        classifier, shelf = self._load(model)
        with self._predict_lock:  # one clip at a time: many at once would need much memory
            features = self._features(card, classifier, shelf)
            logits = classifier.logits(features)[0]
            steps = classifier.evidence(features)[0]
        likeliest = [int(index) for index in (-logits).argsort()[:limit]]
        rows = [
            (classifier.classes[i], float(logits[i]), [float(value) for value in steps[:, i]])
            for i in likeliest
        ]
        return Evidence(classifier.name, rows, _step_meaning(classifier.manifest.network))

    def alike(self, card: Card, others: Sequence[Card], model: str) -> list[int]:
        """The ids of those of other clips whose features are kept, the most like this one first.

        Raises:
            VidwatchError: as `evidence`.
        """
        import numpy as np

        classifier, shelf = self._load(model)
        with self._predict_lock:
            own = self._features(card, classifier, shelf)[0].numpy().mean(0)
        found = []
        for other in others:
            features = shelf.get(other.sha256) if other.id != card.id else None
            if features is not None:
                mean = features.mean(0)
                lengths = float(np.linalg.norm(own) * np.linalg.norm(mean)) or 1.0
                found.append((-float(own @ mean) / lengths, other.id))
        return [video for _, video in sorted(found)]

    def _features(self, card: Card, classifier: "Classifier", shelf: "Shelf") -> Any:
        """`(1, T, F)` features: from the cache if the daemon kept them, else from the frames."""
        import torch

        cached = shelf.get(card.sha256)
        if cached is not None:
            return torch.from_numpy(cached)[None]
        clip = self._read(card, classifier.spec)
        features = classifier.features([clip])
        if clip.read_share == 1:  # training learns only from complete clips
            shelf.put(card.sha256, features[0].numpy())
        return features

    def _load(self, name: str) -> tuple["Classifier", "Shelf"]:
        """A model on the CPU, because the device may be busy. Only the last one stays loaded."""
        with self._load_lock:
            if self._model is None or self._model[0] != name:
                from learner.classifier import Classifier
                from learner.process import keep_freed_memory
                from learner.shelves import features_shelf

                keep_freed_memory()
                path = self._home.model_or_starter(name)
                classifier = Classifier.load(path, "cpu", self._settings.reading)
                shelf = features_shelf(classifier, self._cache())
                self._model = (name, classifier, shelf)
            return self._model[1:]

    def _read(self, card: Card, spec: ClipSpec, part: Part | None = None) -> "Clip":
        """Decode a card's clip or a part of it.

        It is required that the file is still the one that was classified.
        """
        from daemon.classify.decoding import Undecoded

        clip = self._decode(card, spec, part)
        if isinstance(clip, Undecoded) and clip.kind == "again":
            clip = self._decode(card, spec, part)
        if isinstance(clip, Undecoded):
            # It is not tried again each time that the page asks.
            lasts = clip.kind in ("failed", "crashed") and part is None
            if lasts and len(self._unreadable) < MOST_UNREADABLE:
                self._unreadable[_file(card)] = clip.reason
            raise VidwatchError(clip.reason)
        if clip.sha256 != card.sha256:
            raise VidwatchError("the file is no longer the one that was classified")
        return clip

    def _decode(self, card: Card, spec: ClipSpec, part: Part | None) -> "Clip | Undecoded":
        decoders, future = self._begin(card, spec, part)
        return decoders.outcome(future)

    def _begin(
        self, card: Card, spec: ClipSpec, part: Part | None
    ) -> "tuple[Decoders, Future[Clip]]":
        """Begin to decode."""
        decoders = self._decoders_for(spec)
        if part is None:
            return decoders, decoders.decode(card.path)
        # Hours of video are not hashed for ten seconds of them.
        file = identify(card.path)
        is_unchanged = file is not None and (file.size, file.mtime_ns) == card.version
        sha256 = card.sha256 if is_unchanged else None
        return decoders, decoders.part(card.path, file, part, sha256)

    def _decoders_for(self, spec: ClipSpec) -> "Decoders":
        """Decoders that give these frames; those that give others are ended."""
        with self._decoders_lock:
            if self._decoders is None or self._decoders.settings.spec != spec:
                from daemon.classify.decoding import Decoders, DecoderSettings

                if self._decoders:
                    self._decoders.close()
                self._decoders = Decoders(DecoderSettings.of(spec, WORKERS, self._settings))
            return self._decoders

    def _cache(self) -> "Cache":
        from learner.cache import Cache

        return Cache(round(self._settings.cache_gigabytes * GIGABYTE))


def _step_meaning(network: NetworkArgs) -> StepMeaning:
    """What a step of the evidence means; see `Head.evidence`."""
    if network.pooling == "mean":
        return "mean"
    # With either, an early step also depends on later frames: `deviation` gives a feature's
    # distance from the mean of the whole clip.
    if network.bidirectional or network.deviation:
        return ""
    return "so far"


def _file(card: Card) -> tuple[bytes, Identity | None]:
    """The file as it is now. One that was repaired or put back is another, and is tried again."""
    try:
        return card.path, identify(card.path)
    except OSError:
        return card.path, None


def _jpeg(frames: Any) -> bytes:
    """A JPEG of frames side by side. `frames: (T, H, W, 3) uint8, RGB`."""
    import cv2
    import numpy as np

    side = max(1, min(HIGHEST, frames.shape[1], WIDEST // len(frames)))
    if side != frames.shape[1]:
        frames = np.stack(
            [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
        )
    picture = cv2.cvtColor(np.concatenate(list(frames), axis=1), cv2.COLOR_RGB2BGR)
    written, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not written:
        raise VidwatchError("the frames cannot be written as a picture")
    return data.tobytes()

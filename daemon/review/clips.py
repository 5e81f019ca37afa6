"""The frames that the model saw, as a strip, and what it made of each: read from the file when they are looked at.

What is heavy (a decoder, the model) is loaded on first use, so that the page itself answers at once.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from daemon.home.folder import Home
from daemon.home.identity import Identity, identify
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.review.cards import Card, read_spec
from learner.errors import VidwatchError
from learner.spec import ClipSpec, NetworkArgs

if TYPE_CHECKING:
    from daemon.classify.decoding import Decoders, Undecoded
    from learner.cache import Cache, Shelf
    from learner.classifier import Classifier
    from learner.video import Clip

WIDEST = 65_000  # of a JPEG, in pixels
HIGHEST = 224
QUALITY = 85
WORKERS = 2
REMEMBERED = 1000


@dataclass(frozen=True)
class Evidence:
    """What each step of a clip says for some classes: `rows` are a class, its logit, and a value a step.

    `means`: "mean" where the mean of a row is its logit, "so far" where a step is what the logit would be if the clip
    ended there, "" where it is neither.
    """

    model: str
    rows: list[tuple[str, float, list[float]]]
    means: Literal["mean", "so far", ""]


class Clips:
    """Strips and evidence. Calls may come from several threads."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self._home, self._settings = home, settings
        self._decoders: Decoders | None = None
        self._model: tuple[str, Classifier, Shelf] | None = None
        # Decoders die with the thread that started them, and the server's threads come and go: this one stays.
        self._keeper, self._loading, self._judging = (
            ThreadPoolExecutor(1),
            threading.Lock(),
            threading.Lock(),
        )
        self._unreadable: dict[tuple[bytes, Identity | None], str] = {}

    def close(self) -> None:
        """End the decoders, and keep the cache within its limit."""
        self._keeper.shutdown()
        if self._decoders:
            self._decoders.close()
            self._cache().trim()

    def problem(self, card: Card) -> str | None:
        """Why the clip cannot be shown, as far as that is known yet."""
        return card.problem or self._unreadable.get(_file(card))

    def strip(self, card: Card, model: str) -> bytes:
        """The frames that `model` looks at, side by side, as a JPEG.

        Raises:
            VidwatchError: the file cannot be read any more, or is another one.
        """
        import numpy as np

        spec = read_spec(self._home, model)
        exact = self._settings.exact_frames
        key = spec.frames, spec.size, spec.fit, exact, version("vidwatch"), QUALITY
        shelf = self._cache().shelf("strips", repr(key))
        kept = shelf.get(card.sha256)
        if kept is None:
            kept = np.frombuffer(_jpeg(self._read(card, spec).frames), np.uint8)
            shelf.put(card.sha256, kept)
        return kept.tobytes()

    def evidence(self, card: Card, model: str, limit: int) -> Evidence:
        """Of the classes that `model` finds likeliest.

        Raises:
            VidwatchError: the model cannot be loaded, or the file not be read any more.
        """
        classifier, shelf = self._load(model)
        with self._judging:  # one clip at a time: many at once would need much memory
            features = self._features(card, classifier, shelf)
            logits, steps = classifier.logits(features)[0], classifier.evidence(features)[0]
        best = [int(index) for index in (-logits).argsort()[:limit]]
        rows = [
            (classifier.classes[i], float(logits[i]), [float(value) for value in steps[:, i]])
            for i in best
        ]
        return Evidence(classifier.name, rows, _means(classifier.manifest.network))

    def _features(self, card: Card, classifier: "Classifier", shelf: "Shelf") -> Any:
        """`(1, T, F)`: those that the daemon kept, else from the frames."""
        import torch

        kept = shelf.get(card.sha256)
        if kept is not None:
            return torch.from_numpy(kept)[None]
        features = classifier.features([self._read(card, classifier.spec).frames])
        shelf.put(card.sha256, features[0].numpy())
        return features

    def _load(self, name: str) -> tuple["Classifier", "Shelf"]:
        """On the CPU, beside a busy device; another one when another model answers."""
        with self._loading:
            if self._model is None or self._model[0] != name:
                from learner.classifier import Classifier
                from learner.dataset import features_shelf

                path = self._home.model_or_starter(name)
                classifier = Classifier.load(path, "cpu", self._settings.reading)
                self._model = name, classifier, features_shelf(classifier, self._cache())
            return self._model[1:]

    def _read(self, card: Card, spec: ClipSpec) -> "Clip":
        from daemon.classify.decoding import Undecoded

        clip = self._decode(card.path, spec)
        if isinstance(clip, Undecoded) and clip.kind == "again":
            clip = self._decode(card.path, spec)
        if isinstance(clip, Undecoded):
            raise VidwatchError(
                self._remember(card, clip.reason, clip.kind in ("failed", "crashed"))
            )
        if clip.sha256 != card.sha256:
            raise VidwatchError("the file is not the one that was classified any more")
        return clip

    def _decode(self, path: bytes, spec: ClipSpec) -> "Clip | Undecoded":
        decoders, future = self._keeper.submit(self._begin, path, spec).result()
        return decoders.outcome(future)

    def _begin(self, path: bytes, spec: ClipSpec) -> "tuple[Decoders, Future[Clip]]":
        if self._decoders is None or self._decoders.settings.spec != spec:
            from daemon.classify.decoding import Decoders, DecoderSettings

            if self._decoders:
                self._decoders.close()
            settings = DecoderSettings(
                spec=spec,
                workers=WORKERS,
                seconds=self._settings.decode_seconds,
                gigabytes=self._settings.decode_gigabytes,
                reading=self._settings.reading,
            )
            self._decoders = Decoders(settings)
        return self._decoders, self._decoders.decode(path)

    def _remember(self, card: Card, reason: str, lasts: bool) -> str:
        """A file that cannot be decoded is not tried at each look."""
        if lasts and len(self._unreadable) < REMEMBERED:
            self._unreadable[_file(card)] = reason
        return reason

    def _cache(self) -> "Cache":
        from learner.cache import Cache

        return Cache(round(self._settings.cache_gigabytes * GIGABYTE))


def _means(network: NetworkArgs) -> Literal["mean", "so far", ""]:
    """See `Head.evidence`."""
    if network.pooling == "mean":
        return "mean"
    # A feature's distance from the mean of the clip is that from the mean of all of it.
    return "" if network.bidirectional or network.deviation else "so far"


def _file(card: Card) -> tuple[bytes, Identity | None]:
    """The file as it stands: one that was mended, or put back, is looked at again."""
    try:
        return card.path, identify(card.path)
    except OSError:
        return card.path, None


def _jpeg(frames: Any) -> bytes:
    """`(T, H, W, 3)` uint8 RGB, side by side."""
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
        raise VidwatchError("its frames cannot be written as a picture")
    return data.tobytes()

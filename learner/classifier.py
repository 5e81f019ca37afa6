"""A checkpoint and a device: uint8 frames in, logits out. For the daemon and for notebooks."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import torch
from scipy.special import softmax
from threadpoolctl import ThreadpoolController
from torch import Tensor

from learner import checkpoint
from learner.ahead import decoded
from learner.catalogue import STARTER
from learner.cutting import Window
from learner.engines import TORCH, Engine, choose
from learner.errors import PassingError, VidwatchError
from learner.familiarity import PREFIX, Familiar, Reference, energies
from learner.forward import Forward, use_one_thread
from learner.memory import one_memory_error
from learner.network import ClipNetwork
from learner.pooling import ORDER_FREE, Statistics
from learner.precision import choose_device, fast_precision
from learner.prediction import LEAST_FAMILIARITY, Classified, Prediction, Unread
from learner.spec import ClipSpec, NetworkArgs, ReadOptions
from learner.video import Clip, read_clip

AT_ONCE = 64
DEFAULT_READING = ReadOptions(min_read_share=0.5)


class Classifier:
    """A model ready to use. Calls are thread-safe; gradients are never kept.

    Args:
        model: its manifest and its weights.
        device: "auto" (the GPU if there is one), "cpu" or "cuda".
        reading: how `classify`, `results` and `learner.dataset.extract` read clips.
        engine: as `wanted` of `learner.engines.choose`.

    Raises:
        VidwatchError: the manifest describes no network, the weights do not fit it, or there is no
            such device.
    """

    def __init__(
        self,
        model: checkpoint.Checkpoint,
        device: str = "auto",
        reading: ReadOptions = DEFAULT_READING,
        engine: str = "auto",
    ) -> None:
        manifest = model.manifest
        self._wanted_engine = engine
        self.name = model.name
        self.digest = model.digest
        self.manifest = manifest
        self.classes = manifest.classes
        self.spec = manifest.clip
        self.reading = reading
        self.device = choose_device(device)
        try:
            with _own_random_numbers():
                network = ClipNetwork(manifest.network, manifest.clip, len(manifest.classes))
        except (TypeError, ValueError, RuntimeError) as error:
            raise VidwatchError(
                f"model {model.name}: its manifest describes no network ({error})"
            ) from error
        try:
            own = {name: t for name, t in model.tensors.items() if not name.startswith(PREFIX)}
            network.load_state_dict(own)
        except RuntimeError as error:
            raise VidwatchError(
                f"model {model.name}: its weights do not fit its manifest ({error})"
            ) from error
        self.reference = Reference.of_tensors(model.tensors)
        self.precision = str(fast_precision(self.device)).removeprefix("torch.")
        self.network = self._placed(network.eval())

    def _placed(self, network: ClipNetwork) -> ClipNetwork:
        try:
            with one_memory_error():
                return network.to(self.device).to(memory_format=torch.channels_last)
        except torch.OutOfMemoryError as error:
            problem = f"model {self.name}: the GPU has no memory for it now"
            hint = "end other programs that use it, or set device to 'cpu'"
            raise PassingError(f"{problem}; {hint}") from error

    @classmethod
    def untrained(
        cls,
        args: NetworkArgs,
        spec: ClipSpec,
        classes: tuple[str, ...],
        seed: int,
        fill: Callable[[ClipNetwork], None],
        device: str = "auto",
        reading: ReadOptions = DEFAULT_READING,
    ) -> Self:
        """A network that knows nothing of `classes` yet.

        Its weights are rounded to half precision, as a checkpoint will hold them.

        Args:
            args: what builds the network.
            spec: which frames it takes.
            classes: in the order of its logits.
            seed: of its first weights.
            fill: gives its backbone the weights that there are.
            device: as for a classifier.
            reading: as for a classifier.
        """
        with _own_random_numbers():
            torch.default_generator.manual_seed(seed)
            network = ClipNetwork(args, spec, len(classes))
            fill(network)
        network.half().float()
        manifest = checkpoint.Manifest(classes, spec, args, ())
        model = checkpoint.Checkpoint("untrained", manifest, network.state_dict(), "")
        return cls(model, device, reading)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        device: str = "auto",
        reading: ReadOptions = DEFAULT_READING,
    ) -> Self:
        """The model at `path`, by default the starter model.

        Raises:
            VidwatchError: no such model, a damaged one, or no such device.
        """
        return cls(checkpoint.load(Path(path) if path is not None else STARTER), device, reading)

    def prepare(self) -> None:
        """Do now what the first prediction would otherwise wait for: on a GPU, seconds."""
        self._forward.prepare()
        if self.device.type != "cpu":
            values = self.network.appearance + self.network.motion
            self.logits(torch.zeros(1, self.spec.frames, values))

    def features(self, clips: Iterable[Clip | np.ndarray[Any, Any]]) -> Tensor:
        """Features of B clips, or of the `(T, H, W, 3)` uint8 RGB frames of each.

        Gives `(B, T, F)` in half precision, on the CPU. If the clip spec asks for motion, that is
        the last `MOTION_FEATURES` of them.

        Raises:
            VidwatchError: a clip has other frames than the clip spec says, or no motion.
        """
        return self.features_on_device(clips).cpu()

    def features_on_device(self, clips: Iterable[Clip | np.ndarray[Any, Any]]) -> Tensor:
        """As `features`, but they stay where they are computed: `judge` needs them there."""
        clips = list(clips)
        arrays = (clip.frames if isinstance(clip, Clip) else clip for clip in clips)
        has_windows = any(isinstance(clip, Window) for clip in clips)
        forward = self._forward.of_windows if has_windows else self._forward
        features = forward([torch.from_numpy(array) for array in arrays])
        if not self.spec.motion:
            return features
        motion = torch.from_numpy(np.stack([self._motion(clip) for clip in clips]))
        return torch.cat([features, motion.half().to(features.device)], -1)

    def _motion(self, clip: Clip | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if isinstance(clip, Clip) and clip.motion is not None:
            return clip.motion
        raise VidwatchError(
            f"model {self.name!r} needs the motion of a clip; give it clips that were read with "
            "its own clip spec, not frames alone"
        )

    @cached_property
    def _forward(self) -> Forward:
        """Made at its first use: training with stored features needs none."""
        return Forward(self.network.backbone, self.device, self.engine.compiled())

    @cached_property
    def engine(self) -> Engine:
        """What computes the backbone. If nothing is known of it yet, what is faster is tried."""
        return choose(self.network.backbone, self._wanted_engine)

    @property
    def runs_on(self) -> str:
        """The device, and what computes on it if that is not PyTorch."""
        by = self.engine.name
        return str(self.device) if by == TORCH else f"{self.device} by {by}"

    def logits(self, features: Tensor) -> np.ndarray[Any, Any]:
        """`(B, T, F)` features to `(B, C)` float32 logits."""
        return self._in_parts(self.network.head, features)

    def evidence(self, features: Tensor) -> np.ndarray[Any, Any]:
        """`(B, T, F)` features to `(B, T, C)` float32; see `Head.evidence`."""
        return self._in_parts(self.network.head.evidence, features)

    def baseline_logits(self, features: Tensor) -> np.ndarray[Any, Any]:
        """As `logits`, from the baseline."""
        return self._in_parts(self.network.baseline, features)

    def _in_parts(self, part: Callable[..., Tensor], features: Tensor) -> np.ndarray[Any, Any]:
        """Some clips at a time: a head takes several times the memory of the features."""
        with torch.inference_mode(), one_memory_error():
            found = [part(some.to(self.device)).cpu() for some in torch.split(features, AT_ONCE)]
        return torch.cat(found).numpy()

    def predict(self, clips: Iterable[Clip | np.ndarray[Any, Any]]) -> list[Prediction]:
        """One prediction a clip, in one forward pass; clips are as for `features`.

        Raises:
            VidwatchError: a logit is not finite, or motion is missing.
        """
        return self.judge(self.features_on_device(clips))

    def judge(self, features: Tensor) -> list[Prediction]:
        """As `predict`, of `(B, T, F)` features that this backbone gave.

        On a CPU, a clip's logits are the same to the bit, whatever other clips come with it and
        however many cores there are. Products of matrices are rounded otherwise for another number
        of rows or of threads (by up to 4e-6 of the starter's logits). So each clip is judged by
        itself, by one thread, in 0.3 ms.
        """
        if self.device.type != "cpu":
            return self._judged(features)
        judged = [self._judge.submit(self._judged, clip) for clip in torch.split(features, 1)]
        return [prediction for clip in judged for prediction in clip.result()]

    @cached_property
    def _judge(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(
            1, "judge", initializer=use_one_thread, initargs=(ThreadpoolController(),)
        )

    def _judged(self, features: Tensor) -> list[Prediction]:
        logits = self.logits(features)
        if not np.isfinite(logits).all():
            raise VidwatchError(
                f"model {self.name!r} gave logits that are not finite: its weights are damaged"
            )
        probabilities = softmax(self.manifest.calibration.calibrated(logits), axis=1)
        familiar = self.familiar(features, logits)
        return [
            Prediction.of(
                self.classes,
                logits[row],
                probabilities[row],
                known=bool(familiar.known[row]),
                familiarity=None if familiar.shares is None else float(familiar.shares[row]),
            )
            for row in range(len(logits))
        ]

    def joined(
        self, logits: Sequence[Sequence[float]], familiarity: list[float | None], known: list[bool]
    ) -> Prediction:
        """The prediction of a long video, from the `(N, C)` logits of its N windows.

        By mean logits and the median familiarity; unknown if more than half of the windows are.
        """
        mean = np.array(logits, np.float32).mean(0, keepdims=True)
        probabilities = softmax(self.manifest.calibration.calibrated(mean), axis=1)
        figures = [figure for figure in familiarity if figure is not None]
        median = float(np.median(figures)) if figures else None
        is_known = 2 * sum(known) >= len(known)
        found = (self.classes, mean[0], probabilities[0])
        return Prediction.of(*found, known=is_known, familiarity=median)

    def familiar(self, features: Tensor, logits: np.ndarray[Any, Any]) -> Familiar:
        """How much clips are like those of the known classes.

        Of `(B, T, F)` features and their `(B, C)` logits.
        """
        scale = self.manifest.familiarity
        if scale is None:
            least = self.manifest.unknown_below
            scores = energies(logits)[:, 0]
            return Familiar(scores, None, scores >= (-np.inf if least is None else least))
        figures = self._figures(features, logits)
        shares = scale.familiarity(figures)
        return Familiar(scale.scores(figures), shares, shares >= LEAST_FAMILIARITY)

    def _figures(self, features: Tensor, logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if self.reference is None:
            return energies(logits)
        statistics = Statistics(self.network.appearance, blocks=ORDER_FREE)
        parts = torch.split(features, AT_ONCE)
        values = [statistics.of_clips(part).cpu().numpy() for part in parts]
        return self.reference.figures(np.concatenate(values), logits)

    @overload
    def classify(  # type: ignore[overload-overlap]  # a text is a file, not its letters
        self, paths: str | os.PathLike[str]
    ) -> Classified: ...

    @overload
    def classify(self, paths: Iterable[str | os.PathLike[str]]) -> list[Classified]: ...

    def classify(
        self, paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
    ) -> Classified | list[Classified]:
        """The result of a file, or of each of several, in order.

        Raises:
            VidwatchError: a file could not be read; `results` goes on instead.
        """
        if isinstance(paths, str | os.PathLike):
            return self.classify([paths])[0]
        found = []
        for result in self.results(paths):
            if isinstance(result, Unread):
                raise VidwatchError(f"{result.file}: {result.error}")
            found.append(result)
        return found

    def results(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[Classified | Unread]:
        """One result a file, in order, as they come.

        The next files are decoded while the device works.
        """
        for batch in decoded(paths, self._read):
            clips = [clip for _, clip in batch if isinstance(clip, Clip)]
            predictions = iter(self.predict(clips) if clips else [])
            for path, clip in batch:
                if isinstance(clip, Clip):
                    yield Classified(
                        file=path,
                        prediction=next(predictions),
                        model=self.name,
                        frames_asked=clip.frames_asked,
                        frames_read=clip.frames_read,
                        read_share=clip.read_share,
                    )
                else:
                    yield Unread(path, clip)

    def _read(self, path: str) -> Clip:
        return read_clip(path, self.spec, self.reading)


def _own_random_numbers() -> AbstractContextManager[None]:
    """Within it random numbers are drawn, and the caller's stay as they were. No GPU is touched."""
    return torch.random.fork_rng(devices=[])

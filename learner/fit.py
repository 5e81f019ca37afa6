"""The training loop: epochs over clips, as frames or as the features of a frozen backbone. Knows no folder of clips."""

import contextlib
import io
import math
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from learner import files
from learner.errors import VidwatchError
from learner.network import ClipNetwork
from learner.spec import Augment, TrainSettings

Array = np.ndarray[Any, Any]
Indices = np.ndarray[Any, np.dtype[np.intp]]

# States are saved at the end of an epoch, and no more often: a head that is trained in seconds would wait for the disk.
SECONDS_BETWEEN_STATES = 10.0

# Of many clips a head sees so many batches an epoch, and at least a quarter of the clips. Of 350 clips its loss was
# 0.167 after 100 steps in all, 0.143 after 220, 0.132 after the 500 that these are, and 0.129 after 1,000.
HEAD_STEPS = 25

JUDGED_AT_ONCE = 8
MIX_ALPHA = 0.4


@dataclass(frozen=True)
class Epoch:
    """A row of the history. Losses are in nats and accuracies shares, both over clips; None where none are kept back.

    `fold` is 0 for the model itself and counts the models of a cross-validation from 1: of many clips kept back,
    theirs are over some.
    """

    fold: int
    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Data:
    """What a network learns from: for each clip `(T, H, W, 3)` uint8 frames or `(T, F)` features.

    `truth` is `(N,)`, the class indices. `unit` is how many frames in a row belong together.
    """

    values: Sequence[Array]
    truth: Tensor
    augment: Augment
    unit: int = 1

    def batch(self, clips: Indices) -> Tensor:
        """`(B, T, ...)`: clips as they are judged."""
        return torch.from_numpy(np.stack([self.values[clip] for clip in clips]))

    def batches(self, clips: Indices) -> Iterator[Tensor]:
        """`clips` as they are judged, in batches."""
        for first in range(0, len(clips), JUDGED_AT_ONCE):
            yield self.batch(clips[first : first + JUDGED_AT_ONCE])

    def varied(self, clips: Indices) -> Tensor:
        """As `batch`, varied as the augmentation says."""
        if self.augment == Augment():
            return self.batch(clips)
        return torch.stack([self._varied(self.values[clip]) for clip in clips])

    def _varied(self, values: Array) -> Tensor:
        if segments := self.augment.segments:
            ends = np.linspace(0, len(values) // self.unit, segments + 1).round().astype(int)
            chosen = [int(torch.randint(low, high, ())) for low, high in pairwise(ends)]
            values = values[
                np.add.outer(self.unit * np.array(chosen), np.arange(self.unit)).ravel()
            ]
        return vary(torch.tensor(values), self.augment)


def vary(frames: Tensor, augment: Augment) -> Tensor:
    """`(T, H, W, 3)` uint8 to the same: one crop, flip and change of colours for all frames of a clip."""
    steps: list[nn.Module] = []
    if augment.crop < 1:
        steps.append(
            v2.RandomResizedCrop(frames.shape[1:3], scale=(augment.crop, 1.0), antialias=True)
        )
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.jitter:
        steps.append(v2.ColorJitter(*3 * (augment.jitter,)))
    images = frames.permute(0, 3, 1, 2)
    for step in steps:
        images = step(images)
    return images.permute(0, 2, 3, 1)


def mix(frames: Tensor, targets: Tensor, classes: int, share: float) -> tuple[Tensor, Tensor]:
    """Blends `(B, T, H, W, 3)` frames, in a `share` of calls: `(B,)` targets then become `(B, C)`, in proportion."""
    if torch.rand(()) >= share:
        return frames, targets
    blend = v2.RandomChoice(
        [kind(alpha=MIX_ALPHA, num_classes=classes) for kind in (v2.MixUp, v2.CutMix)]
    )
    images, shares = blend(tv_tensors.Video(frames.permute(0, 1, 4, 2, 3).float()), targets)
    return images.as_subclass(Tensor).permute(0, 1, 3, 4, 2), shares


def fit(
    network: ClipNetwork,
    data: Data,
    training: Indices,
    validation: Indices,
    settings: TrainSettings,
    fold: int = 0,
    state: Path | None = None,
    after_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    after_epoch: Callable[[list[Epoch]], None] = lambda history: None,
) -> list[Epoch]:
    """Train `network` in place, on its device, and give the history; the same seed gives the same weights.

    With a `state` file a run that was ended goes on from there, to the same result. `validation` may be empty.

    Raises:
        VidwatchError: the loss is not finite any more, or the state cannot be read or written.
    """
    device = next(network.parameters()).device
    with _own_randomness(device), _threads(1 if settings.freeze else None), _deterministic():
        network.backbone.requires_grad_(not settings.freeze)
        network.eval()
        learning = [network.head, network.baseline] if settings.freeze else [network]
        optimizer, classes = _optimizer(network, settings), network.head.linear.out_features
        steps = settings.steps or _steps(len(training), settings)
        schedule = _schedule(optimizer, settings, steps)
        weights = _class_weights(data, training, classes, settings)
        criterion = nn.CrossEntropyLoss(weights, label_smoothing=settings.label_smoothing)
        criterion.to(device)
        history = _restore(state, network, optimizer, schedule)
        saved = time.monotonic()
        while len(history) < settings.epochs and not _has_stalled(history, settings.patience):
            began, epoch = time.monotonic(), len(history) + 1
            # The draws of an epoch do not depend on those of the epochs before it.
            _seed(1_000_003 * settings.seed + epoch, device)
            rate = float(optimizer.param_groups[0]["lr"])
            for part in learning:
                part.train()
            seen, lost, right = 0, 0.0, 0
            for step, clips in enumerate(_batches(training, settings.batch, steps), start=1):
                targets = data.truth[clips].to(device)
                shown, aims = mix(data.varied(clips).to(device), targets, classes, data.augment.mix)
                logits, baseline = network(shown)
                # Head and baseline share no weight that learns from both: the sum trains each as if it were alone.
                loss = criterion(logits, aims)
                optimizer.zero_grad()
                (loss + criterion(baseline, aims)).backward()
                _require_finite(loss.item(), f"step {step} of epoch {epoch}")
                if settings.clip_norm:
                    nn.utils.clip_grad_norm_(
                        [*network.backbone.parameters(), *network.head.parameters()],
                        settings.clip_norm,
                    )
                    nn.utils.clip_grad_norm_(network.baseline.parameters(), settings.clip_norm)
                optimizer.step()
                if settings.schedule == "one_cycle":
                    schedule.step()
                seen, lost = seen + len(clips), lost + loss.item() * len(clips)
                right += int((logits.argmax(1) == targets).sum())
                after_step((epoch - 1) * steps + step, settings.epochs * steps, lost / seen)
            judged = _judge(network, data, validation)
            _require_finite(judged[0], f"validation after epoch {epoch}")
            history.append(
                Epoch(
                    fold, epoch, rate, lost / seen, right / seen, *judged, time.monotonic() - began
                )
            )
            if settings.schedule == "plateau":
                schedule.step(
                    judged[0]
                    if settings.watch == "validation" and judged[0] is not None
                    else lost / seen
                )
            elif settings.schedule == "cosine_restarts":
                schedule.step()
            after_epoch(history)
            if state and (
                time.monotonic() - saved > SECONDS_BETWEEN_STATES or len(history) == settings.epochs
            ):
                _save(state, network, optimizer, schedule, history)
                saved = time.monotonic()
    return history


def judge(network: ClipNetwork, data: Data, clips: Indices) -> tuple[Array, Array]:
    """Logits of head and baseline for `clips`, `(N, C)` float32 each."""
    for part in network.children():
        if part.training:
            part.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        found = [network(batch.to(device)) for batch in data.batches(clips)]
    head, baseline = (torch.cat(logits).cpu().numpy() for logits in zip(*found, strict=True))
    return head, baseline


def _judge(network: ClipNetwork, data: Data, clips: Indices) -> tuple[float | None, float | None]:
    if not len(clips):
        return None, None
    logits, truth = torch.from_numpy(judge(network, data, clips)[0]), data.truth[clips]
    return nn.functional.cross_entropy(logits, truth).item(), (
        logits.argmax(1) == truth
    ).float().mean().item()


def _require_finite(loss: float | None, where: str) -> None:
    if loss is not None and not math.isfinite(loss):
        hint = "checkpoints that were written before are kept; try a smaller learning_rate, or clip_norm"
        raise VidwatchError(f"the loss is {loss} at {where}: {hint}")


def _steps(clips: int, settings: TrainSettings) -> int:
    """Batches an epoch: one pass over the clips, and less where a head has many."""
    all_of_them = math.ceil(clips / settings.batch)
    return min(all_of_them, max(HEAD_STEPS, all_of_them // 4)) if settings.freeze else all_of_them


def _batches(training: Indices, batch: int, steps: int) -> Iterator[Indices]:
    """`steps` batches; where the clips run out before, they are dealt again."""
    while True:
        order = training[torch.randperm(len(training)).numpy()]
        for first in range(0, len(order), batch):
            if not steps:
                return
            yield order[first : first + batch]
            steps -= 1


def _optimizer(network: ClipNetwork, settings: TrainSettings) -> torch.optim.Optimizer:
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    # One pass over weights and moments, not one for each term: of a head's step on a CPU, a fifteenth was saved so.
    return kind(parameters, settings.learning_rate, weight_decay=settings.weight_decay, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainSettings, steps: int) -> Any:
    schedules = torch.optim.lr_scheduler
    if settings.schedule == "one_cycle":
        return schedules.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=settings.epochs * steps
        )
    if settings.schedule == "plateau":
        return schedules.ReduceLROnPlateau(optimizer, factor=0.1, patience=3)
    if settings.schedule == "cosine_restarts":
        return schedules.CosineAnnealingWarmRestarts(optimizer, T_0=20, eta_min=1e-6)
    return schedules.ConstantLR(optimizer, factor=1.0)


def _class_weights(
    data: Data, training: Indices, classes: int, settings: TrainSettings
) -> Tensor | None:
    """As if every class had the same number of clips."""
    if not settings.class_weights:
        return None
    counts = torch.bincount(data.truth[training], minlength=classes).clamp(min=1)
    return len(training) / (len(counts) * counts)


def _has_stalled(history: list[Epoch], patience: int | None) -> bool:
    losses = [epoch.validation_loss for epoch in history if epoch.validation_loss is not None]
    return bool(patience and losses and len(losses) - 1 - losses.index(min(losses)) >= patience)


def _save(
    path: Path, network: nn.Module, optimizer: Any, schedule: Any, history: list[Epoch]
) -> None:
    parts = {"network": network, "optimizer": optimizer, "schedule": schedule}
    document = {name: part.state_dict() for name, part in parts.items()}
    buffer = io.BytesIO()
    torch.save(document | {"history": [asdict(epoch) for epoch in history]}, buffer)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, buffer.getvalue())
    except OSError as error:
        raise VidwatchError(
            f"{path}: cannot be written ({error.strerror}); the one before it is kept"
        ) from error


def _restore(path: Path | None, network: nn.Module, optimizer: Any, schedule: Any) -> list[Epoch]:
    """Put all of them where the file says; gives the history up to there."""
    if path is None or not path.exists():
        return []
    try:
        document = torch.load(path, weights_only=True)
        for name, part in (("network", network), ("optimizer", optimizer), ("schedule", schedule)):
            part.load_state_dict(document[name])
        return [Epoch(**epoch) for epoch in document["history"]]
    except (
        OSError,
        RuntimeError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        hint = f"remove {path.parent} to begin again"
        raise VidwatchError(
            f"{path}: the state of this run cannot be read ({error}); {hint}"
        ) from error


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """A head's products are too small to share: on two busy cores, two threads took 30 times as long as one."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _own_randomness(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """The caller's random numbers stay as they were. A GPU that is not used is not touched."""
    devices = [device] if device.type == "cuda" else []
    return torch.random.fork_rng(devices)


def _seed(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before

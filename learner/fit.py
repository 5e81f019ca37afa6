"""The training loop: epochs over clips, as frames or as the features of a frozen backbone."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from learner.batches import Data, Indices
from learner.distributed import ALONE, Processes
from learner.learning import Learning, Most, require_finite
from learner.memory import in_halves
from learner.network import ClipNetwork
from learner.optimizer import make_optimizer, make_schedule
from learner.repeatable import deterministic, own_random_numbers, threads
from learner.spec import TrainSettings
from learner.training_state import restore_state, save_state

Array = np.ndarray[Any, Any]

# A state is saved at the end of an epoch, and no more often than this: a head that is trained in
# seconds would wait for the disk.
SECONDS_BETWEEN_STATES = 10.0

# If clips are many, an epoch of a head has so many batches, and at least a quarter of the clips. Of
# 350 clips its loss was 0.167 after 100 steps in all, 0.143 after 220, 0.132 after the 500 that
# these are, and 0.129 after 1,000.
HEAD_STEPS = 25


@dataclass(frozen=True)
class Epoch:
    """A row of the history. Losses are in nats and accuracies are shares, both over clips."""

    fold: int
    """0 for the model itself; the models of a cross-validation are counted from 1.

    If clips are many, a fold is validated on some of them.
    """
    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    validation_loss: float | None
    """None if no clips are kept back."""
    validation_accuracy: float | None
    seconds: float


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
    processes: Processes = ALONE,
) -> list[Epoch]:
    """Train `network` in place, on its device; the same seed gives the same weights.

    Args:
        network: to be trained.
        data: all clips.
        training: those that it learns from.
        validation: those that it is judged on after each epoch; may be empty.
        settings: how it learns.
        fold: as in `Epoch`.
        state: a file; a run that was ended goes on from there, to the same result.
        after_step: called with the steps done, of how many, and the mean loss of the epoch so far.
        after_epoch: called with the history.
        processes: those that train it together: the first one writes the state.

    Returns:
        The history, an entry an epoch.

    Raises:
        VidwatchError: the loss is not finite any more, or the state cannot be read or written.
    """
    device = next(network.parameters()).device
    with own_random_numbers(device), threads(1 if settings.freeze else None), deterministic():
        made = _begin(network, data, training, settings, processes)
        history = [Epoch(**epoch) for epoch in restore_state(state, made.parts)] if state else []
        saved = time.monotonic()
        while len(history) < settings.epochs and not _has_stalled(history, settings.patience):
            began = time.monotonic()
            number = len(history) + 1
            rate = float(made.optimizer.param_groups[0]["lr"])
            steps_before = len(history) * made.steps
            steps = settings.epochs * made.steps

            def note(step: int, loss: float, before: int = steps_before, of: int = steps) -> None:
                after_step(before + step, of, loss)

            loss, accuracy = made.epoch(training, number, note)
            validation_loss, validation_accuracy = _judge(network, data, validation, processes)
            require_finite(validation_loss, f"validation after epoch {number}")
            seconds = time.monotonic() - began
            history.append(
                Epoch(
                    *(fold, number, rate, loss, accuracy),
                    *(validation_loss, validation_accuracy, seconds),
                )
            )
            made.end_epoch(loss, validation_loss)
            after_epoch(history)
            is_last = len(history) == settings.epochs
            is_due = is_last or time.monotonic() - saved > SECONDS_BETWEEN_STATES
            if state and is_due and processes.is_first:
                save_state(state, made.parts, [asdict(epoch) for epoch in history])
                saved = time.monotonic()
    return history


def _begin(
    network: ClipNetwork,
    data: Data,
    training: Indices,
    settings: TrainSettings,
    processes: Processes,
) -> Learning:
    device = next(network.parameters()).device
    network.backbone.requires_grad_(not settings.freeze)
    network.eval()
    model = processes.averaging(network)
    classes = network.classes
    optimizer = make_optimizer(network, settings)
    steps = settings.steps or _steps(len(training), settings)
    weights = _class_weights(data, training, classes, settings)
    criterion = nn.CrossEntropyLoss(weights, label_smoothing=settings.label_smoothing)
    criterion.to(device)
    schedule = make_schedule(optimizer, settings, steps)
    return Learning(
        network=network,
        model=model,
        data=data,
        settings=settings,
        device=device,
        optimizer=optimizer,
        schedule=schedule,
        criterion=criterion,
        classes=classes,
        steps=steps,
        processes=processes,
        most=Most(settings.batch),
    )


def judge(
    network: ClipNetwork, data: Data, clips: Indices, processes: Processes = ALONE
) -> tuple[Array, Array]:
    """Logits of head and baseline for `clips`, `(N, C)` float32 each.

    Each of the processes judges a part of them. The network is in eval mode afterwards.
    """
    for part in network.children():
        if part.training:
            part.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        own = data.batches(processes.part(clips))
        found = processes.gathered(
            [logits for batch in own for logits in in_halves(network, batch.to(device))]
        )
    head, baseline = (torch.cat(logits).cpu().numpy() for logits in zip(*found, strict=True))
    return head, baseline


def _judge(
    network: ClipNetwork, data: Data, clips: Indices, processes: Processes
) -> tuple[float | None, float | None]:
    """Loss and accuracy of the head; None if there are no clips."""
    if not len(clips):
        return None, None
    logits = torch.from_numpy(judge(network, data, clips, processes)[0])
    truth = data.truth[clips]
    loss = nn.functional.cross_entropy(logits, truth)
    accuracy = (logits.argmax(1) == truth).float().mean()
    return loss.item(), accuracy.item()


def _steps(clips: int, settings: TrainSettings) -> int:
    """Batches an epoch: one pass over the clips, and less for a head if they are many."""
    one_pass = math.ceil(clips / settings.batch)
    return min(one_pass, max(HEAD_STEPS, one_pass // 4)) if settings.freeze else one_pass


def _class_weights(
    data: Data, training: Indices, classes: int, settings: TrainSettings
) -> Tensor | None:
    """As if every class had the same number of clips."""
    if not settings.class_weights:
        return None
    counts = torch.bincount(data.truth[training], minlength=classes).clamp(min=1)
    return len(training) / (len(counts) * counts)


def _has_stalled(history: list[Epoch], patience: int | None) -> bool:
    """Whether the best validation loss is `patience` epochs old."""
    losses = [epoch.validation_loss for epoch in history if epoch.validation_loss is not None]
    if not patience or not losses:
        return False
    epochs_since_best = len(losses) - 1 - losses.index(min(losses))
    return epochs_since_best >= patience

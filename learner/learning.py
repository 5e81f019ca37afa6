"""A network while it learns: epochs of steps, each on a batch, in parts if memory is short."""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from learner.batches import Data, Indices, mix
from learner.distributed import Processes, Share
from learner.errors import PassingError, VidwatchError
from learner.memory import free_memory, one_memory_error
from learner.network import ClipNetwork
from learner.repeatable import seed
from learner.spec import TrainSettings
from learner.texts import counted

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """B clips that are learned from at once."""

    frames: Tensor
    """`(B, T, ...)`"""
    targets: Tensor
    """`(B,)`, class indices."""
    aims: Tensor
    """The same, or `(B, C)` shares of classes if the clips are mixed."""

    @property
    def is_mixed(self) -> bool:
        """Whether clips are blended with one another."""
        return self.aims.dim() == 2

    def parts(self, most: int) -> Iterator["Batch"]:
        """The batch, in parts of so many clips at most."""
        return (Batch(*part) for part in zip(*(torch.split(x, most) for x in self), strict=True))


@dataclass
class Most:
    """How many clips the device has memory for at a time; it may become less."""

    clips: int


@dataclass(frozen=True)
class Learning:
    """A network while it learns, with all that an epoch needs."""

    network: ClipNetwork
    model: nn.Module
    """The same network, with gradients that are averaged if several processes train it."""
    data: Data
    settings: TrainSettings
    device: torch.device
    optimizer: torch.optim.Optimizer
    schedule: Any
    criterion: nn.CrossEntropyLoss
    classes: int
    steps: int
    """Batches an epoch."""
    processes: Processes
    most: Most

    def epoch(
        self, training: Indices, number: int, after_step: Callable[[int, float], None]
    ) -> tuple[float, float]:
        """Mean loss and accuracy over the clips of one epoch."""
        # The draws of an epoch do not depend on those of the epochs before it.
        seed(self._seed(number), self.device)
        settings = self.settings
        parts = [self.network.head, self.network.baseline] if settings.freeze else [self.network]
        for part in parts:
            part.train()
        seen = 0
        loss_sum = 0.0
        right = 0.0
        batches = _batches(training, settings.batch, self.steps)
        for step, clips in enumerate(batches, start=1):
            loss, right_of_batch = self._step(clips, number, step)
            seen += len(clips)
            loss_sum += loss * len(clips)
            right += right_of_batch
            after_step(step, loss_sum / seen)
        return loss_sum / seen, right / seen

    def _step(self, clips: Indices, number: int, step: int) -> tuple[float, float]:
        """The loss of a batch, and how many of its clips were predicted right."""
        share = self.processes.share(len(clips), mixed=self.data.augment.mix > 0)
        targets = self.data.truth[clips[share.rows]].to(self.device)
        frames = self.data.varied(clips, share.rows).to(self.device)
        frames, aims = mix(frames, targets, self.classes, self.data.augment.mix)
        batch = Batch(frames[share.lead :], targets[share.lead :], aims[share.lead :])
        weight = self._weight(share, clips, batch)
        with self.processes.own_draws(1_000_003 * self._seed(number) + step, self.device):
            loss, right = self._learn(batch, weight)
        whole, right_of_all = self.processes.mean(weight * loss, share.parts * right)
        require_finite(whole, f"step {step} of epoch {number}")
        if self.settings.clip_norm:
            own = [*self.network.backbone.parameters(), *self.network.head.parameters()]
            nn.utils.clip_grad_norm_(own, self.settings.clip_norm)
            nn.utils.clip_grad_norm_(self.network.baseline.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        if self.settings.schedule == "one_cycle":
            self.schedule.step()
        return whole, right_of_all

    def _learn(self, batch: "Batch", weight: float) -> tuple[float, float]:
        """Leave the gradients of `weight` times the loss; give the loss, and how many are right.

        If memory is short, halves of the batch are computed one after the other, from now on.
        Their gradients are added, so the step is the same but for rounding, for the masks of
        dropout, and for batch normalisation, which takes the statistics of each part.

        Raises:
            PassingError: there is no memory for a single clip, or several processes train it.
        """
        while True:
            try:
                with one_memory_error():
                    return self._learn_in_parts(batch, weight)
            except torch.OutOfMemoryError as error:
                reason = str(error).partition("\n")[0]
            # Not until here: the error holds what was computed so far.
            self.optimizer.zero_grad()
            free_memory()
            most = min(len(batch.frames), self.most.clips)
            if most == 1 or self.processes.count > 1:
                hint = "end other programs that use it, or choose a smaller recipe or device 'cpu'"
                raise PassingError(
                    f"the GPU has no memory to train {counted(most, 'clip')} at a time ({reason}); "
                    f"{hint}"
                )
            self.most.clips = most // 2
            log.warning("memory is short: parts of %d clips from now on", self.most.clips)

    def _learn_in_parts(self, batch: "Batch", weight: float) -> tuple[float, float]:
        self.optimizer.zero_grad()
        loss_sum = 0.0
        right = 0
        for part in batch.parts(self.most.clips):
            logits, baseline = self.model(part.frames)
            # Head and baseline share no weight that learns from both: the sum trains each of them
            # as if it were alone.
            loss = self.criterion(logits, part.aims)
            portion = self._portion(part, batch.targets)
            (weight * portion * (loss + self.criterion(baseline, part.aims))).backward()
            loss_sum += portion * loss.item()
            right += int((logits.argmax(1) == part.targets).sum())
        return loss_sum, right

    def _seed(self, number: int) -> int:
        return 1_000_003 * self.settings.seed + number

    def _weight(self, share: Share, clips: Indices, batch: "Batch") -> float:
        """With it, the mean of the losses of all shares is the loss of the whole batch.

        A share that counts for d of the D of the batch is multiplied by P d / D, where the mean
        over P processes gives it 1 of P.
        """
        if share.parts == 1:
            return 1.0
        return share.parts * self._portion(batch, self.data.truth[clips].to(self.device))

    def _portion(self, some: "Batch", targets: Tensor) -> float:
        """How much of the loss of clips with these targets is the loss of some of them.

        The loss of n clips is the sum of theirs, over n; over the sum of their classes' weights if
        classes are weighted and clips are not mixed.
        """
        weights = self.criterion.weight
        if weights is None or some.is_mixed:
            return len(some.targets) / len(targets)
        return float(weights[some.targets].sum() / weights[targets].sum())

    @property
    def parts(self) -> dict[str, Any]:
        """What has to be restored for a training to go on."""
        return {
            "network": self.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
        }

    def end_epoch(self, loss: float, validation_loss: float | None) -> None:
        """Let the schedule set the learning rate of the next epoch."""
        if self.settings.schedule == "plateau":
            is_watched = self.settings.watch == "validation" and validation_loss is not None
            self.schedule.step(validation_loss if is_watched else loss)
        elif self.settings.schedule == "cosine_restarts":
            self.schedule.step()


def require_finite(loss: float | None, where: str) -> None:
    """Check that a training can go on.

    Raises:
        VidwatchError: a loss is not a finite number.
    """
    if loss is not None and not math.isfinite(loss):
        hint = (
            "checkpoints that were written before are kept; "
            "try a smaller learning_rate, or clip_norm"
        )
        raise VidwatchError(f"the loss is {loss} at {where}: {hint}")


def _batches(training: Indices, batch: int, steps: int) -> Iterator[Indices]:
    """`steps` batches; if there are not enough clips, they are shuffled and dealt again."""
    while True:
        order = training[torch.randperm(len(training)).numpy()]
        for first in range(0, len(order), batch):
            if not steps:
                return
            yield order[first : first + batch]
            steps -= 1

"""Clips in batches, as a network takes them: as they are judged, or varied for training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from learner.motion import REVERSED
from learner.spec import Augment

Array = np.ndarray[Any, Any]
Indices = np.ndarray[Any, np.dtype[np.intp]]

JUDGED_AT_ONCE = 8
MIX_ALPHA = 0.4


@dataclass(frozen=True)
class Data:
    """What a network learns from."""

    values: Sequence[Array]
    """Of each clip `(T, H, W, 3)` uint8 frames, or `(T, F)` features."""
    truth: Tensor
    """`(N,)`, the class indices."""
    augment: Augment
    unit: int = 1
    """How many frames in a row belong together."""

    motion: int = 0
    """How many features of a step, the last ones, are motion."""
    is_backwards: bool = False
    """Whether clips are judged as if they were played backwards."""

    def played_backwards(self) -> Self:
        """The same clips from their end to their beginning."""
        return replace(self, is_backwards=True)

    def batch(self, clips: Indices) -> Tensor:
        """`(B, T, ...)`: clips as they are judged."""
        batch = torch.from_numpy(np.stack([self.values[clip] for clip in clips]))
        if not self.is_backwards:
            return batch
        backwards = batch.flip(1)
        if self.motion:
            backwards[..., -self.motion :] *= torch.from_numpy(REVERSED)
        return backwards

    def batches(self, clips: Indices) -> Iterator[Tensor]:
        """`clips` as they are judged, in batches."""
        for first in range(0, len(clips), JUDGED_AT_ONCE):
            yield self.batch(clips[first : first + JUDGED_AT_ONCE])

    def varied(self, clips: Indices, own: Indices | None = None) -> Tensor:
        """As `batch`, varied by the augmentation; if `own` is given, these rows of `clips` alone.

        The others' random numbers are drawn all the same, so a clip is varied alike whichever rows
        are wanted.
        """
        rows = np.arange(len(clips)) if own is None else own
        if self.augment == Augment():
            return self.batch(clips[rows])
        wanted = set(rows % len(clips))
        varied = [
            self._varied(self.values[clip], in_full=row in wanted) for row, clip in enumerate(clips)
        ]
        return torch.stack([varied[row] for row in rows])

    def _varied(self, values: Array, *, in_full: bool) -> Tensor:
        segments = self.augment.segments
        if segments:
            ends = np.linspace(0, len(values) // self.unit, segments + 1).round().astype(int)
            chosen = [int(torch.randint(low, high, ())) for low, high in pairwise(ends)]
            frames = np.add.outer(self.unit * np.array(chosen), np.arange(self.unit))
            values = values[frames.ravel()]
        # One frame draws as many random numbers as all of them.
        return vary(torch.tensor(values if in_full else values[:1]), self.augment)


def vary(frames: Tensor, augment: Augment) -> Tensor:
    """`(T, H, W, 3)` uint8 to the same, varied alike in all frames: crop, flip and colours."""
    steps: list[nn.Module] = []
    if augment.crop < 1:
        size = frames.shape[1:3]
        steps.append(v2.RandomResizedCrop(size, scale=(augment.crop, 1.0), antialias=True))
    if augment.flip:
        steps.append(v2.RandomHorizontalFlip())
    if augment.jitter:
        steps.append(v2.ColorJitter(augment.jitter, augment.jitter, augment.jitter))
    images = frames.permute(0, 3, 1, 2)
    for step in steps:
        images = step(images)
    return images.permute(0, 2, 3, 1)


def mix(frames: Tensor, targets: Tensor, classes: int, share: float) -> tuple[Tensor, Tensor]:
    """Blend `(B, T, H, W, 3)` frames of different clips, in a `share` of the calls.

    `(B,)` targets then become `(B, C)`, in proportion.
    """
    if torch.rand(()) >= share:
        return frames, targets
    kinds = [kind(alpha=MIX_ALPHA, num_classes=classes) for kind in (v2.MixUp, v2.CutMix)]
    blend = v2.RandomChoice(kinds)
    images, shares = blend(tv_tensors.Video(frames.permute(0, 1, 4, 2, 3).float()), targets)
    return images.as_subclass(Tensor).permute(0, 1, 3, 4, 2), shares

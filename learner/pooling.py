"""What of a clip's features over time a linear model sees: statistics whose order is known."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Block = Literal["mean", "deviation", "change", "motion"]

ORDER_FREE: tuple[Block, ...] = ("mean", "deviation")
"""What stays the same however the frames of a clip are shuffled."""
ALL: tuple[Block, ...] = ("mean", "deviation", "change", "motion")


@dataclass(frozen=True)
class Statistics:
    """Statistics over time of features: each one is a mean over the steps of a clip."""

    appearance: int
    """How many features of a frame show what is in it."""
    motion: int = 0
    """How many features after these show how it moves."""
    blocks: tuple[Block, ...] = ALL
    """Which statistics, in their order.

    Of the appearance "mean", "deviation" (the mean distance from the mean of the clip) and "change"
    (the mean distance between neighbouring steps); "motion" is the mean of the motion, which has a
    sign.
    """

    @property
    def slices(self) -> dict[Block, slice]:
        """Where each block stands in the statistics."""
        found: dict[Block, slice] = {}
        first = 0
        for block in self.blocks:
            width = self.motion if block == "motion" else self.appearance
            found[block] = slice(first, first + width)
            first += width
        return found

    @property
    def width(self) -> int:
        """The number of statistics."""
        return sum(part.stop - part.start for part in self.slices.values())

    def of_steps(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features to `(B, T, S)` float32, of which the mean over T is `of_clips`."""
        features = features.float()
        appearance = features[..., : self.appearance]
        moving = features[..., self.appearance : self.appearance + self.motion]
        parts = []
        for block in self.blocks:
            if block == "mean":
                parts.append(appearance)
            elif block == "deviation":
                parts.append(_deviation(appearance))
            elif block == "change":
                parts.append(_change(appearance))
            else:
                parts.append(moving)
        return torch.cat(parts, -1)

    def of_clips(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features to `(B, S)` float32."""
        return self.of_steps(features).mean(1)


def _deviation(features: Tensor) -> Tensor:
    return (features - features.mean(1, keepdim=True)).abs_()


def _change(features: Tensor) -> Tensor:
    """Half of the distance of each step to the one before, and half of that to the next one.

    So a clip that is played backwards has the same mean.
    """
    steps = features.shape[1]
    if steps == 1:
        return torch.zeros_like(features)
    between = features.diff(dim=1).abs_()
    change = torch.zeros_like(features)
    change[:, 1:] += between / 2
    change[:, :-1] += between / 2
    return change.mul_(steps / (steps - 1))

"""A convolution of which only the largest value of each quarter of the picture is kept, as in the report's networks."""

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class ConvPeaks(nn.Conv2d):
    """A 3x3 convolution with its picture's border, then an adaptive max pool to 2x2."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, out, 2, 2)`."""
        if torch.is_grad_enabled() and images.device.type == "cpu":
            return _ConvPeaks.apply(images, self.weight, self.bias)  # type: ignore[no-any-return]
        return functional.adaptive_max_pool2d(super().forward(images), 2)


class _ConvPeaks(torch.autograd.Function):
    """Goes back through the four peaks of each map alone: all other gradients are zero.

    Through the whole maps, as autograd would, it took two thirds of a training's time on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        maps = functional.conv2d(images, weight, bias, padding=1)
        peaks, where = functional.adaptive_max_pool2d(maps, 2, return_indices=True)
        ctx.save_for_backward(images, weight, where)
        return peaks

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, weight, where = ctx.saved_tensors
        gradients = grad.float().flatten(2)  # (N, out, 4)
        where = where.flatten(2)
        return (
            _of_images(gradients, where, weight.float(), images.shape).to(images.dtype),
            _of_weight(gradients, where, images.float()),
            gradients.sum((0, 2)),
        )


def _of_weight(gradients: Tensor, where: Tensor, images: Tensor) -> Tensor:
    """`(out, C, 3, 3)`: for each map the pixels under its peaks, times what the peaks are to change."""
    count, channels, height, width = images.shape
    # Pixels as rows, with a border of zeros: what lies beside a peak is some rows further.
    pixels = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    of_clip = torch.arange(count).view(-1, 1, 1) * (height + 2) * (width + 2)
    rows = (of_clip + where // width * (width + 2) + where % width).transpose(0, 1).flatten(1)
    shares = gradients.transpose(0, 1).flatten(1)
    shifts = [down * (width + 2) + right for down, right in product(range(3), repeat=2)]
    table = pixels.reshape(-1, channels)
    sums = [
        functional.embedding_bag(rows + shift, table, mode="sum", per_sample_weights=shares)
        for shift in shifts
    ]
    return torch.stack(sums, 2).reshape(-1, channels, 3, 3)


def _of_images(gradients: Tensor, where: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """`(N, C, H, W)`: for each pixel the kernels of the maps that have a peak there, added around it."""
    count, channels, height, width = shape
    pixel = (torch.arange(count).view(-1, 1, 1) * height * width + where).flatten()
    maps = torch.arange(where.shape[1]).view(1, -1, 1).expand_as(where).flatten()
    order = pixel.argsort()
    begins = torch.searchsorted(pixel[order], torch.arange(count * height * width))
    maps, shares = maps[order], gradients.flatten()[order]
    around = gradients.new_zeros(count, height + 2, width + 2, channels)
    for down, right in product(range(3), repeat=2):
        kernels = weight[:, :, down, right].contiguous()
        added = functional.embedding_bag(
            maps, kernels, begins, mode="sum", per_sample_weights=shares
        )
        around[:, down : down + height, right : right + width] += added.view(
            count, height, width, channels
        )
    return around[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

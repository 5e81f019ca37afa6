"""A convolution and an adaptive max pool in one layer, with a fast backward pass.

It is the last layer of the course report's networks: only the largest value of each quarter of the
picture is kept.
"""

from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional


class ConvMaxPool(nn.Conv2d):
    """A 3x3 convolution with a border of one pixel, then an adaptive max pool to 2x2."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """`(N, C, H, W)` to `(N, out, 2, 2)`."""
        if torch.is_grad_enabled() and images.device.type == "cpu":
            return _ConvMaxPool.apply(images, self.weight, self.bias)  # type: ignore[no-any-return]
        return functional.adaptive_max_pool2d(super().forward(images), 2)


class _ConvMaxPool(torch.autograd.Function):
    """Its backward pass goes through the four maxima of each map alone.

    All other gradients are zero. Through the whole maps, as autograd does it, it took two thirds of
    a training's time on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        maps = functional.conv2d(images, weight, bias, padding=1)
        maxima, where = functional.adaptive_max_pool2d(maps, 2, return_indices=True)
        ctx.save_for_backward(images, weight, where)
        return maxima

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images, weight, where = ctx.saved_tensors
        gradients = grad.float().flatten(2)  # (N, out, 4)
        where = where.flatten(2)  # (N, out, 4): the number of each maximum's pixel
        return (
            _of_images(gradients, where, weight.float(), images.shape).to(images.dtype),
            _of_weight(gradients, where, images.float()),
            gradients.sum((0, 2)),
        )


def _of_weight(gradients: Tensor, where: Tensor, images: Tensor) -> Tensor:
    """`(out, C, 3, 3)`: for each map the sum of the pixels around its maxima.

    Each is multiplied by the gradient of its maximum.
    """
    count, channels, height, width = images.shape
    # Pixels as rows of a table, with a border of zeros: a neighbour of a pixel is a fixed number of
    # rows further.
    pixels = functional.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    of_clip = torch.arange(count).view(-1, 1, 1) * (height + 2) * (width + 2)
    rows = (of_clip + where // width * (width + 2) + where % width).transpose(0, 1).flatten(1)
    factors = gradients.transpose(0, 1).flatten(1)
    shifts = [down * (width + 2) + right for down, right in product(range(3), repeat=2)]
    table = pixels.reshape(-1, channels)
    sums = [
        functional.embedding_bag(rows + shift, table, mode="sum", per_sample_weights=factors)
        for shift in shifts
    ]
    return torch.stack(sums, 2).reshape(-1, channels, 3, 3)


def _of_images(gradients: Tensor, where: Tensor, weight: Tensor, shape: torch.Size) -> Tensor:
    """`(N, C, H, W)`: around each pixel, the sum of the kernels of the maps with a maximum there.

    Each is multiplied by the gradient of its maximum.
    """
    count, channels, height, width = shape
    pixel = (torch.arange(count).view(-1, 1, 1) * height * width + where).flatten()
    maps = torch.arange(where.shape[1]).view(1, -1, 1).expand_as(where).flatten()
    # The maxima in the order of their pixels, and where those of each pixel begin.
    order = pixel.argsort()
    begins = torch.searchsorted(pixel[order], torch.arange(count * height * width))
    maps = maps[order]
    factors = gradients.flatten()[order]
    around = gradients.new_zeros(count, height + 2, width + 2, channels)
    for down, right in product(range(3), repeat=2):
        kernels = weight[:, :, down, right].contiguous()
        added = functional.embedding_bag(
            maps, kernels, begins, mode="sum", per_sample_weights=factors
        )
        around[:, down : down + height, right : right + width] += added.view(
            count, height, width, channels
        )
    return around[:, 1:-1, 1:-1].permute(0, 3, 1, 2)

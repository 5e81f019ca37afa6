import pytest
import torch
from torch import Tensor
from torch.nn import functional

from learner.conv_max_pool import ConvMaxPool


def gradients(peaks: Tensor, images: Tensor, layer: ConvMaxPool) -> list[Tensor]:
    shares = torch.randn(peaks.shape, generator=torch.Generator().manual_seed(1))
    return list(torch.autograd.grad((peaks.relu() * shares).sum(), [images, *layer.parameters()]))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 2)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_values_and_gradients_are_those_of_a_convolution_and_a_pool(
    size: tuple[int, int], layout: torch.memory_format
) -> None:
    """Also where quarters overlap, so that two of them have one peak."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = ConvMaxPool(5, 6)
        images = torch.randn(3, 5, *size).to(memory_format=layout).requires_grad_()
    found = layer(images)
    maps = functional.conv2d(images, layer.weight, layer.bias, padding=1)
    expected = functional.adaptive_max_pool2d(maps, 2)
    assert torch.equal(found, expected)
    with torch.no_grad():
        assert torch.equal(layer(images), expected)
    for one, other in zip(
        gradients(found, images, layer), gradients(expected, images, layer), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_in_bf16_gradients_keep_the_precision_of_what_they_are_for() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer, images = (
            ConvMaxPool(5, 6),
            torch.randn(3, 5, 8, 8, dtype=torch.bfloat16).requires_grad_(),
        )
    exact = ConvMaxPool(5, 6)
    exact.load_state_dict(layer.state_dict())
    wide = images.detach().float().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = gradients(layer(images).float(), images, layer)
    expected = gradients(exact(wide), wide, exact)
    assert [gradient.dtype for gradient in found] == [torch.bfloat16, torch.float32, torch.float32]
    for one, other in zip(found, expected, strict=True):
        # Where two values are alike in bf16, the other may be the peak.
        assert functional.cosine_similarity(one.float().flatten(), other.flatten(), 0) > 0.9

"""What timm says of its networks: their names, the pictures that they take, their stages.

Builds nothing that needs memory, and fetches nothing.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import timm
import torch
from torch import nn

from learner.errors import VidwatchError
from learner.weights import Convert

NEAR = 3  # so many near names are offered
# Maps of so many pixels a value are where the default recipe has its quarters from.
STRIDE = 16


@dataclass(frozen=True)
class DataConfig:
    """The pictures that a network was trained on."""

    size: int
    """Each is `size` x `size` pixels."""
    mean: tuple[float, ...]
    """RGB, of values in 0..1."""
    std: tuple[float, ...]
    """As `mean`."""


def require_known(name: str, others: Iterable[str] = ()) -> None:
    """See that timm has a network of this name, and weights of the tag after its dot.

    Args:
        name: one of timm's, as `resnet18` or `resnet18.a1_in1k`.
        others: further names that may have been meant.

    Raises:
        VidwatchError: it has none; near names are offered.
    """
    # Given "hf-hub:...", timm would fetch a network from the internet.
    if not (isinstance(name, str) and timm.is_model(name)):
        problem = "timm has no network of that name, and neither have we"
        raise VidwatchError(f"backbone {name!r}: {problem}{_near(str(name), others)}")
    architecture, _, tag = name.partition(".")
    known = timm.list_models(f"{architecture}.*", include_tags=True)
    if tag and name not in known:
        near = _offered(known[:NEAR]) or f"; did you mean {architecture!r}?"
        raise VidwatchError(f"backbone {name!r}: timm has no weights of that name{near}")


def data_config(name: str) -> DataConfig:
    """The size, mean and std of the pictures that a network was trained on.

    Raises:
        VidwatchError: timm has no network of that name, or no configuration of it, or it takes no
            square pictures of three colours.
    """
    require_known(name)
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise VidwatchError(f"backbone {name!r}: timm has no pretrained configuration of that name")
    channels, height, width = config.input_size
    if channels != 3 or height != width:
        raise VidwatchError(
            f"backbone {name!r}: it takes {width}x{height} pictures of {channels} channels; "
            "choose one that takes square ones of three colours"
        )
    return DataConfig(height, tuple(config.mean), tuple(config.std))


def has_weights(name: str) -> bool:
    """Whether timm knows where pretrained weights of this network are."""
    config = timm.get_pretrained_cfg(name)
    return config is not None and bool(config.has_weights)


def middle_stage(name: str) -> int | None:
    """The last stage of which each value stands for 16x16 pixels, as in the default recipe.

    None if the network has no stages, as a plain vision transformer, or none of that kind.
    """
    with torch.device("meta"):  # without memory, and without weights
        body: Any = timm.create_model(name, num_classes=0)
    if not hasattr(body, "forward_intermediates"):
        return None
    strides = [stage["reduction"] for stage in body.feature_info]
    stages = [stage for stage, stride in enumerate(strides) if stride == STRIDE]
    is_flat = len(set(strides)) == 1
    return None if is_flat or not stages else stages[-1]


def own_converter(body: nn.Module) -> Convert | None:
    """The function by which timm takes weights of other ports of a network, and of other sizes.

    It stands beside the network, under one of two names.
    """
    module = sys.modules[type(body).__module__]
    for name in ("checkpoint_filter_fn", "_filter_fn"):
        if convert := getattr(module, name, None):
            return convert  # type: ignore[no-any-return]
    return None


def _near(name: str, others: Iterable[str]) -> str:
    """A question with names like this one, or an empty text."""
    architecture = name.rpartition("/")[2].partition(".")[0]
    known = [*timm.list_models(), *others]
    near = sorted((other for other in known if architecture and architecture in other), key=len)
    return _offered(near[:NEAR] or get_close_matches(architecture, known, NEAR))


def _offered(names: list[str]) -> str:
    if not names:
        return ""
    *before, last = [repr(name) for name in names]
    return f"; did you mean {', '.join(before) + ' or ' if before else ''}{last}?"

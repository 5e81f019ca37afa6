"""Networks by name: a timm backbone for each frame, an LSTM over the frames, a linear layer to the logits."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from learner.errors import VidwatchError
from learner.video import ClipSpec


@dataclass(frozen=True)
class NetworkArgs:
    """What builds a network, beside its classes and its clip spec.

    `stage` is one of timm's `features_only` stages, averaged to 2x2 as in the course report; None is the backbone's own
    pooled features. `pooling` makes one vector of the LSTM's states: their mean, or the last one as in the report.
    """

    backbone: str = "tf_efficientnet_lite0"
    stage: int | None = None
    norm: bool = True
    dropout: float = 0.5
    layers: int = 1
    hidden: int = 192
    bidirectional: bool = True
    pooling: Literal["mean", "last"] = "mean"


class Backbone(nn.Module):
    """Frames to features; stages past the wanted one are never built."""

    body: Any
    mean: Tensor
    std: Tensor

    def __init__(self, name: str, stage: int | None, spec: ClipSpec) -> None:
        super().__init__()
        try:
            if stage is None:
                self.body = timm.create_model(name, num_classes=0)
                self.features = int(self.body.num_features)
            else:
                self.body = timm.create_model(name, features_only=True, out_indices=(stage,))
                self.features = 4 * int(self.body.feature_info.channels()[0])
        except (RuntimeError, IndexError, AssertionError) as error:
            raise VidwatchError(f"backbone {name!r}, stage {stage}: timm cannot build it ({error})") from error
        self.stage = stage
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """`(B, T, H, W, 3)` uint8 RGB to `(B, T, F)` half-precision features, as they are cached."""
        # Permuting what OpenCV wrote gives channels-last memory, the fast layout, without a copy.
        images = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
        out = self.body((images - self.mean) / self.std)
        if self.stage is not None:
            out = nn.functional.adaptive_avg_pool2d(out[0], 2).flatten(1)
        return out.half().view(*frames.shape[:2], -1)  # type: ignore[no-any-return]


class Head(nn.Module):
    """Features of a clip's frames to its logits."""

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.pooling = args.pooling
        self.norm = nn.LayerNorm(features) if args.norm else nn.Identity()
        self.dropout = nn.Dropout(args.dropout)
        between = args.dropout if args.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            features, args.hidden, args.layers, batch_first=True, bidirectional=args.bidirectional, dropout=between
        )
        self.linear = nn.Linear(args.hidden * (1 + args.bidirectional), classes)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        states, (last, _) = self.lstm(self.dropout(self.norm(features.float())))
        directions = 1 + self.lstm.bidirectional
        pooled = states.mean(1) if self.pooling == "mean" else last[-directions:].transpose(0, 1).flatten(1)
        return self.linear(self.dropout(pooled))  # type: ignore[no-any-return]


class MeanBaseline(nn.Module):
    """The mean of the frames' features and a linear layer: what a head that knows time has to beat."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        return self.linear(self.norm(features.float().mean(1)))  # type: ignore[no-any-return]


class ClipNetwork(nn.Module):
    """The CNN-LSTM, and the mean-pooling baseline trained beside it on the same features."""

    def __init__(self, args: NetworkArgs, spec: ClipSpec, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(args.backbone, args.stage, spec)
        self.head = Head(self.backbone.features, classes, args)
        self.baseline = MeanBaseline(self.backbone.features, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """`(B, T, H, W, 3)` uint8 RGB to `(B, C)` float32 logits."""
        return self.head(self.backbone(frames))  # type: ignore[no-any-return]


def backbone_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std (RGB, of values in 0..1) from the backbone's own data config."""
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise VidwatchError(f"backbone {name!r}: timm has no pretrained configuration of that name")
    return tuple(config.mean), tuple(config.std)


def load_weights(body: nn.Module, path: Path) -> None:
    """Fill a backbone from a file: tensors by name, else in order where every shape agrees (another port's names).

    Raises:
        VidwatchError: the file cannot be read, or its tensors are not this backbone's.
    """
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, SafetensorError) as error:
        raise VidwatchError(f"weights {path}: cannot be read ({error})") from error
    own = body.state_dict()
    if not own.keys() <= tensors.keys():
        # A classifier of the source network comes last; ours is another one.
        tensors = dict(zip(own, tensors.values(), strict=False))
    if any(name not in tensors or tensors[name].shape != own[name].shape for name in own):
        raise VidwatchError(f"weights {path}: their shapes are not those of this backbone; give the file made for it")
    body.load_state_dict({name: tensors[name] for name in own})

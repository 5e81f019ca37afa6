"""Networks by name: a timm backbone for each frame, an LSTM over the frames, a linear layer to the logits."""

import pickle
from collections.abc import Iterable
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

SMALLEST_STD = 0.01


@dataclass(frozen=True)
class NetworkArgs:
    """What builds a network, beside its classes and its clip spec.

    `stage` is one of timm's `features_only` stages, averaged to 2x2 as in the course report; None is the backbone's own
    pooled features. `norm` standardises features by the training clips. `deviation` sets beside each feature how far
    it is from the clip's mean: over UCF101's ten classes that was worth 2.4 points on groups not seen, without it the
    LSTM lost to the mean. `projection` is the width to which features are brought before the LSTM, None for none.
    `pooling` makes one vector of the LSTM's states: their mean, or the last one as in the report. `skip` adds a linear
    layer from the mean of the inputs. The report's head has none of `norm`, `deviation`, `projection` and `skip`.
    """

    backbone: str = "tf_efficientnet_lite0"
    stage: int | None = None
    norm: bool = True
    deviation: bool = True
    projection: int | None = 128
    dropout: float = 0.5
    layers: int = 1
    hidden: int = 64
    bidirectional: bool = True
    pooling: Literal["mean", "last"] = "mean"
    skip: bool = True


class Backbone(nn.Module):
    """Frames to features. Of a ResNet, stages past the wanted one are never built."""

    body: Any
    mean: Tensor
    std: Tensor

    def __init__(self, name: str, stage: int | None, spec: ClipSpec) -> None:
        super().__init__()
        if not (isinstance(name, str) and timm.is_model(name)):  # timm would take "hf-hub:..." to the network
            raise VidwatchError(f"backbone {name!r}: timm has no network of that name")
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
        # Permuting decoded frames gives channels-last memory, the fast layout, without a copy.
        images = frames.flatten(0, 1).permute(0, 3, 1, 2).float()
        out = self.body((images - self.mean) / self.std)
        if self.stage is not None:
            out = nn.functional.adaptive_avg_pool2d(out[0], 2).flatten(1)
        return out.half().view(*frames.shape[:2], -1)  # type: ignore[no-any-return]


class Standardise(nn.Module):
    """Each feature less its mean, over its standard deviation, both taken from the training clips once."""

    mean: Tensor
    std: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def learn(self, batches: Iterable[Tensor]) -> None:
        """Take the statistics of batches of `(B, T, F)` features."""
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for batch in batches:
            rows = batch.flatten(0, 1).double()
            count, total, squares = count + len(rows), total + rows.sum(0), squares + rows.square().sum(0)
        mean = total / count
        self.mean.copy_(mean)
        # A feature that hardly ever differs would be blown up by the first clip in which it does.
        self.std.copy_((squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=SMALLEST_STD))

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to the same shape."""
        return (features - self.mean) / self.std


class Head(nn.Module):
    """Features of a clip's frames to its logits."""

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.args = args
        width = features * (1 + args.deviation)
        self.norm = Standardise(width) if args.norm else None
        self.projection = nn.Linear(width, args.projection) if args.projection else nn.Identity()
        between = args.dropout if args.layers > 1 else 0.0
        self.lstm = nn.LSTM(
            args.projection or width,
            args.hidden,
            args.layers,
            batch_first=True,
            bidirectional=args.bidirectional,
            dropout=between,
        )
        self.linear = nn.Linear(args.hidden * (1 + args.bidirectional), classes)
        self.skip = nn.Linear(width, classes) if args.skip else None

    def inputs(self, features: Tensor) -> Tensor:
        """`(B, T, F)` features of any precision to what is standardised: float32, with their deviations beside them."""
        features = features.float()
        if not self.args.deviation:
            return features
        return torch.cat([features, (features - features.mean(1, keepdim=True)).abs()], -1)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        inputs = self.inputs(features)
        if self.norm is not None:
            inputs = self.norm(inputs)
        # A feature is dropped from all frames of a clip at once (Gal and Ghahramani, 2016): from single frames, the
        # others would tell it.
        inputs = inputs * self._dropout(torch.ones_like(inputs[:, :1]))
        states, (last, _) = self.lstm(self.projection(inputs))
        directions = 1 + self.args.bidirectional
        pooled = states.mean(1) if self.args.pooling == "mean" else last[-directions:].transpose(0, 1).flatten(1)
        logits = self.linear(self._dropout(pooled))
        return logits if self.skip is None else logits + self.skip(inputs.mean(1))  # type: ignore[no-any-return]

    def _dropout(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values, self.args.dropout, self.training)


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
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, SafetensorError) as error:
        raise VidwatchError(f"weights {path}: cannot be read ({error})") from error
    if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise VidwatchError(f"weights {path}: not a plain dictionary of tensors; give a state dict")
    own = body.state_dict()
    if not own.keys() <= tensors.keys():
        # A classifier of the source network comes last; ours is another one.
        tensors = dict(zip(own, tensors.values(), strict=False))
    if any(name not in tensors or tensors[name].shape != own[name].shape for name in own):
        raise VidwatchError(f"weights {path}: their shapes are not those of this backbone; give the file made for it")
    body.load_state_dict({name: tensors[name] for name in own})

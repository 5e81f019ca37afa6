"""Networks by name: a timm backbone for each frame, an LSTM over the frames, a linear layer to the logits."""

import hashlib
import pickle
import socket
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
import torch
from huggingface_hub import constants
from huggingface_hub import utils as hub
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from learner.errors import VidwatchError
from learner.peaks import ConvPeaks
from learner.spec import IMAGENET_MEAN, IMAGENET_STD, ClipSpec, NetworkArgs

SMALLEST_STD = 0.01
# What torch and safetensors raise at files that are damaged, cut short, or something else.
UNREADABLE = (
    *(RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(pickle.UnpicklingError, SafetensorError),
)


# Networks to train from scratch: 3x3 convolutions by their channels, each with a ReLU after it; "pool" halves the
# picture. The first three are the course report's; in ours each convolution halves it, and has batch normalisation.
CUSTOM: dict[str, tuple[int | Literal["pool"], ...]] = {
    "custom_2conv": (32, "pool", 512),
    "custom_3conv": (32, "pool", 128, "pool", 512),
    "custom_4conv": (32, 64, "pool", 128, "pool", 512),
    "compact": (32, 64, 128, 256),
}
# How much a frame changes is small beside what it shows.
DIFFERENCE_GAIN = 2.5


class Backbone(nn.Module):
    """Frames to features. Stages past the last one that is wanted are not kept, and never run."""

    body: Any
    mean: Tensor
    std: Tensor

    def __init__(self, args: NetworkArgs, spec: ClipSpec) -> None:
        super().__init__()
        self.args = args
        self.body = _custom(args) if args.backbone in CUSTOM else _timm(args, pretrained=False)
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(3, 1, 1), persistent=False)
        self.image = (6 if args.differences else 3, spec.size, spec.size)
        self.features = self._count_features(spec.size)

    def _count_features(self, size: int) -> int:
        """By trying: networks differ in what they say of themselves, and not all take pictures of every size."""
        try:
            with torch.inference_mode():
                return int(self.eval().look(torch.zeros(1, *self.image)).shape[1])
        except (RuntimeError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise VidwatchError(
                f"backbone {self.args.backbone!r} takes no {size}x{size} pictures ({reason})"
            ) from error
        finally:
            self.train()

    def forward(self, frames: Tensor) -> Tensor:
        """`(B, T, H, W, 3)` RGB, 0 to 255, to `(B, T, F)` float32 features; half of T where it takes differences.

        It is computed in the precision that is fast on the device.
        """
        # Permuting decoded frames gives channels-last memory, the fast layout, without a copy.
        images = (frames.flatten(0, 1).permute(0, 3, 1, 2) - self.mean).div_(self.std)
        if self.args.differences:
            first, second = images[::2], images[1::2]
            images = torch.cat([first, DIFFERENCE_GAIN * (second - first)], 1)
        with _fast_products(frames.device, self.training):
            features = self.look(images)
        return features.float().view(len(frames), -1, self.features)

    def look(self, images: Tensor) -> Tensor:
        """`(N, *image)` normalised pictures to `(N, F)` features."""
        if self.args.stage is None:
            return self.body(images)  # type: ignore[no-any-return]
        if not self.args.pooled:
            return _quarters(self.body(images)[0])
        last, (maps,) = self.body.forward_intermediates(images, indices=[self.args.stage])
        return torch.cat([self.body.forward_head(last), _quarters(maps)], 1)

    def fetch_weights(self) -> None:
        """Take the weights that timm knows for this network, from its cache or from the network.

        Raises:
            VidwatchError: there are none, or they cannot be fetched.
        """
        name = self.args.backbone
        if name in CUSTOM:
            raise VidwatchError(
                f"backbone {name!r} is trained from scratch: there are no weights to fetch"
            )
        hub.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        was_offline = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = was_offline or not _reaches_hub()
        try:
            body = _timm(self.args, pretrained=True)
        except OSError as error:  # the hub's own errors are of this kind
            hint = "connect this machine once, or give a file of them with --weights"
            raise VidwatchError(
                f"backbone {name!r}: its pretrained weights cannot be fetched; {hint}"
            ) from error
        finally:
            constants.HF_HUB_OFFLINE = was_offline
        self.body.load_state_dict(body.state_dict())

    def load_weights(self, path: Path) -> None:
        """Fill it from a file; see `load_weights`."""
        only_a_stage = self.args.stage is not None and not self.args.pooled
        load_weights(self.body.model if only_a_stage else self.body, path)


def _quarters(maps: Tensor) -> Tensor:
    """`(N, C, H, W)` feature maps to `(N, 4 C)`: the mean of each quarter of the picture."""
    return nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)


def _custom(args: NetworkArgs) -> nn.Module:
    if args.stage is not None:
        raise VidwatchError(
            f"backbone {args.backbone!r} has no stages; leave stage {args.stage} out"
        )
    layers: list[nn.Module] = []
    channels = 6 if args.differences else 3
    *before, last = CUSTOM[args.backbone]
    if args.backbone == "compact":
        for out in map(int, (*before, last)):
            convolution = nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
            channels = out
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for layer in before:
        if layer == "pool":
            # Before the ReLU that it follows in the report: the same values and gradients, of a quarter of the work.
            layers.insert(-1, nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU(inplace=True)]
            channels = layer
    return nn.Sequential(
        *layers, ConvPeaks(channels, int(last)), nn.ReLU(inplace=True), nn.Flatten()
    )


def _reaches_hub() -> bool:
    """Whether it is there to be asked: where it is not, its client would try for 48 s before it looks into its cache.

    What a proxy reaches, only the proxy can tell.
    """
    if getproxies():
        return True
    endpoint = urlsplit(constants.ENDPOINT)
    try:
        with socket.create_connection((endpoint.hostname, endpoint.port or 443), timeout=5):
            return True
    except OSError:
        return False


def _timm(args: NetworkArgs, *, pretrained: bool) -> Any:
    name, stage = args.backbone, args.stage
    if args.differences:
        raise VidwatchError(
            f"backbone {name!r} takes pictures, not differences; leave 'differences' out"
        )
    if not (
        isinstance(name, str) and timm.is_model(name)
    ):  # timm would take "hf-hub:..." to the network
        raise VidwatchError(
            f"backbone {name!r}: timm has no network of that name, and neither have we"
        )
    try:
        if stage is not None and not args.pooled:
            # Of timm's ways to get at a stage, the one that drops later stages of every network, not of ResNets alone.
            options: dict[str, Any] = {
                "features_only": True,
                "out_indices": (stage,),
                "feature_cls": "getter",
            }
            return timm.create_model(name, pretrained=pretrained, **options)
        return timm.create_model(name, pretrained=pretrained, num_classes=0)
    except (RuntimeError, IndexError, AssertionError, AttributeError, ValueError) as error:
        raise VidwatchError(
            f"backbone {name!r}, stage {stage}: timm cannot build it ({error})"
        ) from error


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
        count, total, squares = (
            0,
            torch.zeros_like(self.mean).double(),
            torch.zeros_like(self.mean).double(),
        )
        for batch in batches:
            rows = batch.flatten(0, 1).double()
            count, total, squares = (
                count + len(rows),
                total + rows.sum(0),
                squares + rows.square().sum(0),
            )
        mean = total / count
        self.mean.copy_(mean)
        # A feature that hardly ever differs would be blown up by the first clip in which it does.
        self.std.copy_(
            (squares / count - mean.square()).clamp(min=0).sqrt().clamp(min=SMALLEST_STD)
        )

    def forward(self, features: Tensor) -> Tensor:
        """`(..., F)` in place: of values this large, each new tensor costs as much as a matrix product."""
        return features.sub_(self.mean).div_(self.std)


class Head(nn.Module):
    """Features of a clip's frames to its logits."""

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.args = args
        width = features * (1 + args.deviation)
        self.norm = {"standard": Standardise, "layer": nn.LayerNorm, "none": nn.Identity}[
            args.norm
        ](width)
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
        """`(B, T, F)` features of any precision to what is standardised: float32, with their deviations beside them.

        It is always a new tensor.
        """
        if not self.args.deviation:
            return features.to(torch.float32, copy=True)
        features = features.float()
        return torch.cat([features, (features - features.mean(1, keepdim=True)).abs_()], -1)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        inputs = self.norm(self.inputs(features))
        # A feature is dropped from all frames of a clip at once (Gal and Ghahramani, 2016): from single frames, the
        # others would tell it.
        if self.training and self.args.dropout:
            inputs.mul_(self._dropout(torch.ones_like(inputs[:, :1])))
        states, (last, _) = self.lstm(self._project(inputs))
        directions = 1 + self.args.bidirectional
        pooled = (
            states.mean(1)
            if self.args.pooling == "mean"
            else last[-directions:].transpose(0, 1).flatten(1)
        )
        logits = self.linear(self._dropout(pooled))
        return logits if self.skip is None else logits + self.skip(inputs.mean(1))  # type: ignore[no-any-return]

    def evidence(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, T, C)`: what each step of the clip says for each class, by the layers that give logits.

        Where states are averaged, the mean over T is the logits. Where the last state counts, step t is what the logits
        would be had the LSTM ended there, and the last step is the logits; with two directions it is neither, since the
        backward state that counts is that of the first step.
        """
        inputs = self.norm(self.inputs(features))
        states, _ = self.lstm(self.projection(inputs))
        evidence = self.linear(states)
        if self.skip is None:
            return evidence  # type: ignore[no-any-return]
        if self.args.pooling == "last":
            steps = torch.arange(1, inputs.shape[1] + 1, device=inputs.device)
            inputs = inputs.cumsum(1) / steps[:, None]
        return evidence + self.skip(inputs)  # type: ignore[no-any-return]

    def _project(self, inputs: Tensor) -> Tensor:
        """In the precision that is fast while it learns: half of a step's time is this product."""
        if not self.training:
            return self.projection(inputs)  # type: ignore[no-any-return]
        with _fast_products(inputs.device, training=True):
            return self.projection(inputs).float()  # type: ignore[no-any-return]

    def _dropout(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values, self.args.dropout, self.training)


class MeanBaseline(nn.Module):
    """The mean of the frames' features and a linear layer: what a head that knows time has to beat.

    Where the head standardises features by the training clips, so does this, or it would be too easily beaten.
    """

    def __init__(self, features: int, classes: int, args: NetworkArgs) -> None:
        super().__init__()
        self.norm = Standardise(features) if args.norm == "standard" else nn.LayerNorm(features)
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """`(B, T, F)` to `(B, C)` float32 logits."""
        return self.linear(self.norm(features.float().mean(1)))  # type: ignore[no-any-return]


class ClipNetwork(nn.Module):
    """The CNN-LSTM, and the mean-pooling baseline trained beside it on the same features."""

    def __init__(self, args: NetworkArgs, spec: ClipSpec, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(args, spec)
        self.head = Head(self.backbone.features, classes, args)
        self.baseline = MeanBaseline(self.backbone.features, classes, args)

    def forward(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """Float32 logits `(B, C)` of the head and of the baseline, which teaches the backbone nothing.

        `clips` are `(B, T, H, W, 3)` uint8 RGB frames, or `(B, T, F)` features that the backbone gave for them.
        """
        features = clips if clips.dim() == 3 else self.backbone(clips)
        return self.head(features), self.baseline(features.detach())


def backbone_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std (RGB, of values in 0..1) from the backbone's own data config."""
    if name in CUSTOM:
        return IMAGENET_MEAN, IMAGENET_STD
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise VidwatchError(f"backbone {name!r}: timm has no pretrained configuration of that name")
    return tuple(config.mean), tuple(config.std)


@cache
def fast_precision(device: torch.device, training: bool = False) -> torch.dtype:
    """bf16 (or half on an older GPU) where the device has instructions for it: several times faster, the same answers.

    Elsewhere it is emulated: right, and slower than float32. Not half where a network is trained: its small gradients
    would be lost.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float32 if training else torch.float16
    able = torch.cpu.get_capabilities()
    native = any(
        able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
    )  # the last is ARM's
    return (
        torch.bfloat16 if native and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32
    )


def _fast_products(device: torch.device, training: bool) -> torch.autocast:
    precision = fast_precision(device, training)
    # Each weight is used once a pass, so no cast of it is worth keeping, least of all within a CUDA graph.
    return torch.autocast(
        device.type, precision, enabled=precision is not torch.float32, cache_enabled=False
    )


def weights_digest(network: nn.Module) -> str:
    """The SHA-256 of a network's weights, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_weights(body: nn.Module, path: Path) -> None:
    """Fill a backbone from a file: tensors by name, else in order where every shape agrees (another port's names).

    Raises:
        VidwatchError: the file cannot be read, or its tensors are not this backbone's.
    """
    try:
        is_safetensors = path.suffix == ".safetensors"
        tensors = (
            load_file(path)
            if is_safetensors
            else torch.load(path, weights_only=True, map_location="cpu")
        )
    except OSError as error:
        raise VidwatchError(f"weights {path}: cannot be read ({error.strerror})") from error
    except UNREADABLE as error:
        raise VidwatchError(
            f"weights {path}: not a whole file of weights; copy it again"
        ) from error
    if not isinstance(tensors, dict) or not all(
        isinstance(tensor, Tensor) for tensor in tensors.values()
    ):
        raise VidwatchError(f"weights {path}: not a plain dictionary of tensors; give a state dict")
    own = body.state_dict()
    if not own.keys() <= tensors.keys():
        # A classifier of the source network comes last; ours is another one.
        tensors = dict(zip(own, tensors.values(), strict=False))
    if any(name not in tensors or tensors[name].shape != own[name].shape for name in own):
        hint = "give the file made for it, or a model of ours with --init-from"
        raise VidwatchError(f"weights {path}: their shapes are not those of this backbone; {hint}")
    body.load_state_dict({name: tensors[name] for name in own})

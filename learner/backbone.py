"""The part of a network that turns each frame into features: one of timm's, or one of ours."""

from pathlib import Path
from typing import Any, Literal

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from learner.conv_max_pool import ConvMaxPool
from learner.errors import VidwatchError
from learner.image_networks import data_config, has_weights, own_converter, require_known
from learner.precision import fast_products
from learner.spec import IMAGENET_MEAN, IMAGENET_STD, ClipSpec, NetworkArgs
from learner.weights import UNREADABLE, load_weights, quiet_hub

# Networks to train from scratch: 3x3 convolutions by their channels, each with a ReLU after it;
# "pool" halves the picture. The first three are the course report's. In ours, "compact", each
# convolution halves the picture, and has batch normalisation.
CUSTOM: dict[str, tuple[int | Literal["pool"], ...]] = {
    "custom_2conv": (32, "pool", 512),
    "custom_3conv": (32, "pool", 128, "pool", 512),
    "custom_4conv": (32, 64, "pool", 128, "pool", 512),
    "compact": (32, 64, 128, 256),
}
# The change from frame to frame is small beside what a frame shows.
DIFFERENCE_GAIN = 2.5


class Backbone(nn.Module):
    """Frames to features. Stages after the last one that is wanted are not kept, and never run."""

    body: Any
    mean: Tensor
    std: Tensor

    def __init__(self, args: NetworkArgs, spec: ClipSpec) -> None:
        super().__init__()
        self.args = args
        self.body = (
            _custom(args) if args.backbone in CUSTOM else _timm(args, spec.size, pretrained=False)
        )
        self.register_buffer("mean", 255 * torch.tensor(spec.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(spec.std).view(3, 1, 1), persistent=False)
        self.image = (_channels(args), spec.size, spec.size)
        self.clip = (spec.frames, spec.size, spec.size, 3)
        self.frames_of_an_image = 2 if args.differences else 1
        self.features = self._count_features(spec.size)

    def _count_features(self, size: int) -> int:
        """Counts what comes out.

        What some networks state is wrong, and not all take pictures of every size.
        """
        try:
            with torch.inference_mode():
                _, features = self.eval().extract(torch.zeros(1, *self.image)).shape
                return int(features)
        except (RuntimeError, AssertionError, ValueError, ZeroDivisionError) as error:
            reason = str(error).splitlines()[0]
            raise VidwatchError(
                f"backbone {self.args.backbone!r} takes no {size}x{size} pictures ({reason})"
            ) from error
        finally:
            self.train()

    def forward(self, frames: Tensor) -> Tensor:
        """`(B, T, H, W, 3)` RGB, 0 to 255, to `(B, T, F)` float32 features.

        T is halved if the network takes differences. It is computed in the precision that is fast
        on the device.
        """
        images = self.images(frames.flatten(0, 1))
        with fast_products(frames.device, self.training):
            features = self.extract(images)
        return features.float().view(len(frames), -1, self.features)

    def images(self, frames: Tensor) -> Tensor:
        """`(N, H, W, 3)` RGB, 0 to 255, to `(N, *image)`; N is halved as in `forward`."""
        # Permuting decoded frames gives channels-last memory, the fast layout, without a copy.
        images = (frames.permute(0, 3, 1, 2) - self.mean).div_(self.std)
        if self.args.differences:
            first = images[::2]
            second = images[1::2]
            images = torch.cat([first, DIFFERENCE_GAIN * (second - first)], 1)
        return images

    def extract(self, images: Tensor) -> Tensor:
        """`(N, *image)` normalised pictures to `(N, F)` features."""
        if self.args.stage is None:
            return self.body(images)  # type: ignore[no-any-return]
        if not self.args.pooled:
            return _quarters(self.body(images)[0])
        last, (maps,) = self.body.forward_intermediates(images, indices=[self.args.stage])
        return torch.cat([self.body.forward_head(last), _quarters(maps)], 1)

    def fetch_weights(self) -> None:
        """Take the weights that timm knows for this network, from its cache or from the internet.

        Raises:
            VidwatchError: there are none, or they cannot be fetched.
        """
        name = self.args.backbone
        if name in CUSTOM:
            raise VidwatchError(
                f"backbone {name!r} is trained from scratch: there are no weights to fetch"
            )
        if not has_weights(name):
            hint = "give a file of them with --weights"
            raise VidwatchError(f"backbone {name!r}: timm knows no weights of it; {hint}")
        try:
            with quiet_hub():
                body = self._made_alike(pretrained=True)
        except OSError as error:  # the hub's own errors are of this kind
            hint = "connect this machine once, or give a file of them with --weights"
            raise VidwatchError(
                f"backbone {name!r}: its pretrained weights cannot be fetched; {hint}"
            ) from error
        except UNREADABLE as error:
            hint = "remove it (`vidwatch backbones` names the file), or give --weights"
            raise VidwatchError(
                f"backbone {name!r}: the file of its weights in the cache is damaged; {hint}"
            ) from error
        if not _has_learned(body, self._made_alike(pretrained=False)):
            hint = "remove it (`vidwatch backbones` names the file), or give --weights"
            raise VidwatchError(
                f"backbone {name!r}: the weights in the cache are those of another network; {hint}"
            )
        self.body.load_state_dict(body.state_dict())

    def _made_alike(self, *, pretrained: bool) -> Any:
        """A body that begins with the same random numbers each time, then has its weights."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return _timm(self.args, self.image[1], pretrained=pretrained)

    def load_weights(self, path: Path) -> None:
        """Fill it from a file; see `learner.weights.load_weights`."""
        is_only_a_stage = self.args.stage is not None and not self.args.pooled
        body = self.body.model if is_only_a_stage else self.body
        load_weights(body, path, own_converter(body))


def backbone_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std (RGB, of values in 0..1) from the backbone's own data config.

    Raises:
        VidwatchError: timm has no network or no configuration of that name.
    """
    if name in CUSTOM:
        return IMAGENET_MEAN, IMAGENET_STD
    config = data_config(name)
    return config.mean, config.std


def _has_learned(body: nn.Module, fresh: nn.Module) -> bool:
    """Whether the file held the weights of `body`: timm says nothing if it held others.

    A tensor that was not in the file is still as in `fresh`, which has the same random numbers. So
    are some that are never trained: a tenth of all numbers may be.
    """
    counts = {True: 0, False: 0}
    for tensor, first in zip(body.parameters(), fresh.parameters(), strict=True):
        if tensor.dim() > 1:  # the others begin with the same number everywhere, and may stay so
            counts[torch.equal(tensor, first)] += tensor.numel()
    return counts[True] <= 0.1 * (counts[True] + counts[False])


def _channels(args: NetworkArgs) -> int:
    """Of the pictures that it takes: with differences, a frame and its change to the next one."""
    return 6 if args.differences else 3


def _quarters(maps: Tensor) -> Tensor:
    """`(N, C, H, W)` feature maps to `(N, 4 C)`: the mean of each quarter of the picture."""
    return nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)


def _custom(args: NetworkArgs) -> nn.Module:
    if args.stage is not None:
        raise VidwatchError(
            f"backbone {args.backbone!r} has no stages; leave stage {args.stage} out"
        )
    if args.backbone == "compact":
        return _compact(args)
    layers: list[nn.Module] = []
    channels = _channels(args)
    *before, last = CUSTOM[args.backbone]
    for layer in before:
        if layer == "pool":
            # Before the ReLU that it follows in the report: the values and gradients are the same,
            # for a quarter of the work.
            layers.insert(-1, nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU(inplace=True)]
            channels = layer
    layers += [ConvMaxPool(channels, int(last)), nn.ReLU(inplace=True), nn.Flatten()]
    return nn.Sequential(*layers)


def _compact(args: NetworkArgs) -> nn.Module:
    layers: list[nn.Module] = []
    channels = _channels(args)
    for out in map(int, CUSTOM[args.backbone]):
        convolution = nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _timm(args: NetworkArgs, size: int, *, pretrained: bool) -> Any:
    name = args.backbone
    stage = args.stage
    if args.differences:
        raise VidwatchError(
            f"backbone {name!r} takes pictures, not differences; leave 'differences' out"
        )
    require_known(name, CUSTOM)
    options: dict[str, Any] = {"num_classes": 0}
    if stage is not None and not args.pooled:
        # Of timm's ways to get at a stage, the one that drops later stages of every network, not of
        # ResNets alone.
        options = {"features_only": True, "out_indices": (stage,), "feature_cls": "getter"}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size and config.input_size[1:] != (size, size):
        # timm resamples what these networks know of the places in a picture.
        options["img_size"] = size
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except SafetensorError:
        raise  # of a damaged file
    except (
        *(RuntimeError, IndexError, AssertionError, AttributeError),
        *(ValueError, ZeroDivisionError),
    ) as error:
        reason = str(error).partition("\n")[0]
        raise VidwatchError(
            f"backbone {name!r}, stage {stage}: timm cannot build it ({reason})"
        ) from error

"""The forward pass against the rate of a matrix product on the same device in the same precision,
and of itself.
"""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from report import network
from table import Row, in_turns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from learner import checkpoint, recipe
from learner.classifier import Classifier
from learner.dataset import find_clips
from learner.forward import ready
from learner.video import Clip, read_clip

SIDE = 2048


def rows(clips: Path) -> Iterable[Row]:
    """Rates in GFLOP/s; the default network against what timm builds; whether bf16 gives the same
    classes.
    """
    path = min(clips.glob("*/*"))
    yield rate(custom(), path, "≥ 0.5")
    starter = Classifier.load()
    yield rate(starter, path, "≥ 0.25")  # the best that was known of it: many small layers
    yield against_as_built(starter, path)
    yield bf16_agreement(starter, clips)


def custom() -> Classifier:
    """The report's network, untrained."""
    net, spec = network("custom-base")
    manifest = checkpoint.Manifest(
        tuple("abcdefghij"), spec, recipe.load("custom-base").network, ()
    )
    return Classifier(checkpoint.Checkpoint("custom-base", manifest, net.state_dict(), ""))


def rate(model: Classifier, path: Path, aim: str) -> Row:
    """One clip from bytes to logits, counting its products alone."""
    clip = read_clip(path, model.spec)
    one = torch.zeros(1, *model.network.backbone.image)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.network.backbone.extract(one.to(model.device))
    images = len(clip.frames) // (2 if model.manifest.network.differences else 1)
    work = counter.get_total_flops() * images / 1e9
    factors = torch.randn(2, SIDE, SIDE, device=model.device, dtype=getattr(torch, model.precision))
    taken, product = in_turns(lambda: model.predict([clip]), lambda: _product(factors), rounds=7)
    limit = f"a product of {SIDE}-square matrices in {model.precision}"
    what = f"forward pass in {model.precision}"
    return Row(
        what,
        work / taken,
        "GFLOP/s",
        limit,
        2 * SIDE**3 / 1e9 / product,
        aim,
        model.name,
        str(model.device),
    )


def _product(factors: Tensor) -> None:
    factors[0] @ factors[1]
    if factors.is_cuda:
        torch.cuda.synchronize()


def against_as_built(model: Classifier, path: Path) -> Row:
    """The backbone of the default model: ours against timm's, float32 and in planes of colour."""
    clip = read_clip(path, model.spec)
    plain = Classifier.load().network.backbone.to(memory_format=torch.contiguous_format)
    images = (
        torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float().div(127.5).sub(1).contiguous()
    )

    def as_built() -> None:
        with torch.no_grad():
            plain.extract(images.to(model.device)).cpu()

    taken, built = in_turns(lambda: model.features([clip]), as_built, rounds=7)
    return Row(
        "a clip's features",
        taken,
        "s",
        "as timm builds it",
        built,
        "≤ 1",
        model.name,
        str(model.device),
    )


def bf16_agreement(model: Classifier, clips: Path) -> Row:
    """How many clips get the class of float32 in bf16: by the device where it computes so, else by
    rounding like it.
    """
    roots = [root for root in (clips, clips.with_name(f"{clips.name}-original")) if root.is_dir()]
    exact = ready(model.network.backbone, torch.float32)
    emulated = rounded(exact) if model.precision == "float32" else None
    count = same = 0
    for path in [clip.path for root in roots for clip in find_clips(root)]:
        clip = read_clip(path, model.spec)
        frames = torch.from_numpy(clip.frames).to(model.device)
        images = (frames.permute(0, 3, 1, 2) - exact.mean) / exact.std
        with torch.inference_mode():
            expected = _with_motion(exact.extract(images), clip)
            found = model.features([clip])
            if emulated:
                found = _with_motion(emulated.extract(_round(images)), clip)
        classes = [model.logits(features.half().cpu()).argmax() for features in (expected, found)]
        count, same = count + 1, same + int(classes[0] == classes[1])
    how = "bf16, emulated by rounding" if emulated else model.precision
    return Row(
        f"same class in {how}",
        same,
        "clips",
        "float32",
        count,
        "≥ 0.995",
        model.name,
        str(model.device),
    )


def _with_motion(features: Tensor, clip: Clip) -> Tensor:
    """`(1, T, F)`, with the motion of the clip behind them if it has been measured."""
    moving = [] if clip.motion is None else [torch.from_numpy(clip.motion)]
    return torch.cat([features.cpu(), *moving], -1)[None]


def rounded(exact: nn.Module) -> Any:
    """A copy that rounds weights, and what each layer gives, to bf16; sums within a layer are
    float32 there, too.
    """
    net = copy.deepcopy(exact)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            layer.weight.data = _round(layer.weight.data)
        layer.register_forward_hook(
            lambda layer, given, out: _round(out) if isinstance(out, Tensor) else out
        )
    return net


def _round(values: Tensor) -> Tensor:
    return values.bfloat16().float()

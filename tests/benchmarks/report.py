"""The course report's way, rebuilt to compare with: its decoding, its networks, its loops, one
process a file.

`report.py VIDEO` is its second program, with our starter's weights: it prints the class index and
all logits.
"""

import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import timm
import torch
from table import Row, in_turns
from torch import Tensor, nn

from learner import checkpoint, recipe
from learner.backbone import backbone_statistics
from learner.catalogue import STARTER
from learner.classifier import Classifier
from learner.familiarity import PREFIX
from learner.network import ClipNetwork
from learner.spec import ClipSpec, NetworkArgs
from learner.video import read_clip

BATCH = 4


def decode(path: Path, spec: ClipSpec) -> Tensor:
    """`(T, 3, H, W)` float32: every frame read, resized and normalised, then every so manieth kept.

    In RGB, where the report took blue for red: so that the same clip has the same answer.
    """
    capture, frames = cv2.VideoCapture(str(path)), []
    mean, std = (np.array(values, np.float32).reshape(3, 1, 1) for values in (spec.mean, spec.std))
    while True:
        is_read, frame = capture.read()
        if not is_read:
            break
        image = cv2.cvtColor(cv2.resize(frame, (spec.size, spec.size)), cv2.COLOR_BGR2RGB)
        frames.append((image.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / std)
    stride = len(frames) // spec.frames
    return torch.from_numpy(np.stack(frames[::stride][: spec.frames]))


class Plain(nn.Module):
    """A network of ours as the report ran one: pictures in planes of colour, and no layer left out
    or put together.
    """

    def __init__(self, ours: ClipNetwork, args: NetworkArgs) -> None:
        super().__init__()
        self.head, self.stage = ours.head, args.stage
        self.cnn = _report_cnn(ours, args)

    def forward(self, clips: Tensor) -> Tensor:
        """`(B, T, 3, H, W)` float32 to `(B, C)` logits."""
        features: Any = self.cnn(clips.flatten(0, 1))
        if isinstance(features, list):
            features = nn.functional.adaptive_avg_pool2d(features[self.stage or 0], 2).flatten(1)
        return self.head(features.view(*clips.shape[:2], -1))  # type: ignore[no-any-return]


def _report_cnn(ours: ClipNetwork, args: NetworkArgs) -> nn.Module:
    """With the weights of ours. Of resnet101 all five stages run, and the third is used."""
    if args.backbone == "custom_3conv":
        relu, pool = nn.ReLU(), nn.MaxPool2d(2)
        stages = [
            nn.Sequential(nn.Conv2d(given, taken, 3, padding=1), relu)
            for given, taken in ((3, 32), (32, 128), (128, 512))
        ]
        cnn = nn.Sequential(
            stages[0], pool, stages[1], pool, stages[2], nn.AdaptiveMaxPool2d(2), nn.Flatten()
        )
        cnn.load_state_dict(
            dict(zip(cnn.state_dict(), ours.backbone.body.state_dict().values(), strict=True))
        )
        return cnn
    whole: nn.Module = timm.create_model(args.backbone, features_only=True)
    whole.load_state_dict(ours.backbone.body.model.state_dict(), strict=False)
    return whole


def network(name: str) -> tuple[ClipNetwork, ClipSpec]:
    """An untrained network of one of the report's recipes: its weights are random, its cost is not."""
    chosen = recipe.load(name)
    mean, std = backbone_statistics(chosen.network.backbone)
    spec = ClipSpec(chosen.clip.frames, chosen.clip.size, chosen.clip.fit, mean, std)
    torch.manual_seed(0)
    return ClipNetwork(chosen.network, spec, 10).eval(), spec


def evaluate(net: nn.Module, clips: Sequence[Tensor], truth: Tensor) -> Tensor:
    """Its evaluation loop, in batches of 4, from clips that are decoded; gives the logits."""
    net.eval()
    criterion, found, lost, right = nn.CrossEntropyLoss(), [], 0.0, 0
    with torch.no_grad():
        for first in range(0, len(clips), BATCH):
            batch = torch.stack(list(clips[first : first + BATCH]))
            targets = truth[first : first + BATCH]
            logits = net(batch)
            lost += criterion(logits, targets).item()
            right += int((logits.argmax(1) == targets).sum())
            found.append(logits)
    return torch.cat(found)


def train_epoch(net: nn.Module, clips: Sequence[Tensor], truth: Tensor) -> None:
    """Its training loop, in batches of 4, from clips that are decoded."""
    net.train()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(net.parameters(), lr=1e-4)
    lost, right = 0.0, 0
    for first in range(0, len(clips), BATCH):
        batch = torch.stack(list(clips[first : first + BATCH]))
        targets = truth[first : first + BATCH]
        optimizer.zero_grad()
        logits = net(batch)
        loss = criterion(logits, targets)
        loss.backward()
        optimizer.step()
        lost += loss.item()
        right += int((logits.argmax(1) == targets).sum())


def one_process_a_file(paths: Iterable[Path]) -> list[int]:
    """Its second program for each file, one after the other; gives the class indices."""
    answers = []
    for path in paths:
        done = subprocess.run(
            [sys.executable, __file__, str(path)], capture_output=True, text=True, check=True
        )
        answers.append(int(done.stdout.split()[0]))
    return answers


def rows(clips: Path) -> Iterable[Row]:
    """The forward pass against its evaluation loop, on the same weights and frames."""
    paths = sorted(clips.glob("*/*"))[:: len(list(clips.glob("*/*"))) // BATCH][:BATCH]
    for name, label, aim in (
        ("custom-base", "custom, 3 convolutions, forward", "≥ 2.5"),
        ("pretrained-base", "resnet101 to its third stage, forward", "≥ 5"),
    ):
        ours, spec = network(name)
        frames = np.stack([read_clip(path, spec).frames for path in paths])
        manifest = checkpoint.Manifest(tuple("abcdefghij"), spec, recipe.load(name).network, ())
        model = Classifier(checkpoint.Checkpoint(name, manifest, ours.state_dict(), ""))
        net = Plain(ours, manifest.network).to(model.device)
        shown = torch.from_numpy(frames).permute(0, 1, 4, 2, 3) / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
        planes = ((shown - mean) / std).contiguous()
        truth = torch.zeros(len(planes), dtype=torch.long)
        theirs = evaluate(net, planes, truth)
        own = model.logits(model.features(frames))
        assert np.abs(own - theirs.numpy()).max() < 0.02, "not the same network"
        taken, by_report = in_turns(
            lambda model=model, frames=frames: model.predict(frames),
            lambda net=net, planes=planes, truth=truth: evaluate(net, planes, truth),
            rounds=3,
        )
        rate = len(paths) / taken, len(paths) / by_report
        yield Row(
            label,
            rate[0],
            "clips/s",
            "the report's loop in batches of 4",
            rate[1],
            aim,
            name,
            str(model.device),
        )


def _one_file(path: Path) -> None:
    model = checkpoint.load(STARTER)
    net = ClipNetwork(model.manifest.network, model.manifest.clip, len(model.manifest.classes))
    net.load_state_dict(
        {name: tensor for name, tensor in model.tensors.items() if not name.startswith(PREFIX)}
    )
    net.eval()
    with torch.no_grad():
        features = net.backbone.extract(decode(path, model.manifest.clip))
        # It knows no motion: what counts here is the time.
        still = features.new_zeros(len(features), net.motion)
        logits = net.head(torch.cat([features, still], -1).unsqueeze(0))[0]
    print(int(logits.argmax()), *(f"{value:.4f}" for value in logits.tolist()))


if __name__ == "__main__":
    _one_file(Path(sys.argv[1]))

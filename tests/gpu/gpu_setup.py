"""What the parts of `make gpu` share: the device, the model, made clips, and the reference path."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Setup:
    """A device and clips. Models are loaded when they are first asked for."""

    device: torch.device
    data: Path | None
    """Class folders of real clips; None: clips are made."""
    compiles: bool = False
    """Whether PyTorch's compiler is tried on a processor, too, where it takes minutes."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is CUDA's."""
        return self.device.type == "cuda"

    @property
    def most(self) -> int:
        """Larger batches are tried on a GPU alone: a processor computes each clip by itself."""
        return 64 if self.is_gpu else 8

    def sync(self) -> None:
        """Wait for the device."""
        if self.is_gpu:
            torch.cuda.synchronize()

    @cached_property
    def folder(self) -> Path:
        """Where files are made."""
        return Path(tempfile.mkdtemp(prefix="vidwatch-gpu-"))

    @cached_property
    def model(self) -> Any:
        """The starter on the device, not prepared yet."""
        from learner.classifier import Classifier

        return Classifier.load(device=self.device.type)

    @cached_property
    def exact(self) -> Any:
        """The starter's network on the CPU, in float32 and as it was trained: the reference."""
        from learner.classifier import Classifier

        return Classifier.load(device="cpu").network

    def clips(self, count: int) -> list[Any]:
        """Real clips if there are some, else made ones: smooth pictures with a patch that moves."""
        from learner.video import Clip, read_clip

        spec = self.model.spec
        if self.data:
            paths = sorted(self.data.glob("*/*"))
            return [read_clip(path, spec) for path in paths[:: max(1, len(paths) // count)][:count]]
        return [
            Clip(
                frames, len(frames), len(frames), "made", f"{n:064x}", motion=motion(len(frames), n)
            )
            for n, frames in enumerate(pictures(count, spec.frames, spec.size))
        ]

    def reference(self, clips: Sequence[Any]) -> tuple[Array, Array]:
        """Features of the frames, and logits, by the reference path: `(B, T, F)` and `(B, C)`.

        Eager, in float32, on the CPU, without folding: nothing of `learner.forward`.
        """
        backbone = self.exact.backbone
        all_features, logits = [], []
        with torch.inference_mode():
            for clip in clips:
                images = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float()
                features = backbone.extract((images - backbone.mean) / backbone.std)[None]
                all_features.append(features)
                if self.exact.motion:
                    features = torch.cat([features, torch.from_numpy(clip.motion)[None]], -1)
                logits.append(self.exact.head(features))
        return torch.cat(all_features).numpy(), torch.cat(logits).numpy()


def pictures(count: int, frames: int, size: int, seed: int = 0) -> list[Array]:
    """`count` clips `(frames, size, size, 3)` uint8."""
    generator = torch.Generator().manual_seed(seed)
    found = []
    side = size // 4
    for _ in range(count):
        coarse = torch.rand(1, 3, 7, 7, generator=generator)
        ground = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")[0]
        clip = (255 * ground).byte().permute(1, 2, 0).repeat(frames, 1, 1, 1)
        speed, shade = (int(torch.randint(1, 256, (), generator=generator)) for _ in range(2))
        for step in range(frames):
            left = step * (1 + speed % 6) % (size - side)
            clip[step, left : left + side, left : left + side] = shade
        found.append(np.ascontiguousarray(clip.numpy()))
    return found


def motion(frames: int, seed: int) -> Array:
    """Made-up motion of a clip."""
    from learner.motion import MOTION_FEATURES

    return np.random.default_rng(seed).random((frames, MOTION_FEATURES), np.float32)


def tensors(clips: Sequence[Any]) -> list[Tensor]:
    """The frames of clips."""
    return [torch.from_numpy(clip.frames) for clip in clips]


def videos(folder: Path, classes: int = 2, each: int = 6, frames: int = 40) -> Path:
    """Class folders of small video files: a disc that moves in another way in each class."""
    import cv2

    root = folder / f"videos-{frames}"
    if root.exists():
        return root
    random = np.random.default_rng(0)
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for number in range(each):
            path = root / f"class{label}" / f"v_class{label}_g{number:02}_c01.avi"
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (160, 120))
            ground = cv2.GaussianBlur(
                random.integers(0, 160, (120, 160, 3)).astype(np.uint8), (9, 9), 0
            )
            for step in range(frames):
                image = ground.copy()
                centre = (20 + 3 * step % 120, 60) if label else (80, 20 + 3 * step % 80)
                cv2.circle(image, centre, 12, (255 * label, 64, 255 - 255 * label), -1)
                writer.write(image)
            writer.release()
    return root

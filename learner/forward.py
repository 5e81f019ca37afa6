"""A backbone made ready to answer: what only learning needs is folded away. Knows no checkpoint and no head."""

import copy
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from learner.models import Backbone, fast_precision
from learner.process import keep_freed_memory

log = logging.getLogger(__name__)

# On a GPU clips are computed so many at a time, and fewer are filled up to a power of two: so few graphs do for all.
AT_ONCE = 8
# On a CPU frames are computed so few at a time in float32, and twice as many in bf16: more leave the caches (0.48 s of
# processor time for the 16 frames of a clip at once, 0.31 s by twos or fours). Even: some networks take differences.
FRAMES_AT_ONCE = 2
# Asked once: what a worker below says of itself, torch takes for every thread that begins later, too.
CORES = torch.get_num_threads()
# Of the largest feature: how far those of a folded network may be from it. Rounding is far below, a wrong fold above.
ROUNDING = 1e-3


class Forward:
    """Frames on the CPU to features on the CPU, through `device`. Calls are thread-safe."""

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self._device = device
        precision = fast_precision(device)
        self._backbone = ready(backbone, precision)
        if device.type == "cuda":
            self._uploads, self._pool = _stream(device), torch.cuda.graph_pool_handle()
            self._graphs: dict[int, Callable[[Tensor], Tensor]] = {}
            self._lock = (
                threading.Lock()
            )  # a graph has one place for its frames and one for its features
        else:
            # A core computes its frames alone. Where all share each layer, all wait for the one that a decoder has
            # taken the core from, and do so at each layer.
            self._at_once = FRAMES_AT_ONCE * torch.float32.itemsize // precision.itemsize
            keep_freed_memory()
            self._workers = ThreadPoolExecutor(
                CORES, initializer=torch.set_num_threads, initargs=(1,)
            )

    @torch.inference_mode()
    def __call__(self, clips: list[Tensor]) -> Tensor:
        """`(T, H, W, 3)` uint8 RGB of each of B clips to `(B, T, F)` half-precision features.

        Raises:
            torch.OutOfMemoryError: the GPU has no room for so many clips.
        """
        if self._device.type == "cuda":
            with self._lock, torch.cuda.device(self._device):
                return self._on_gpu(clips)
        parts = [torch.split(clip, self._at_once) for clip in clips]
        coming = [[self._workers.submit(self._on_cpu, part) for part in clip] for clip in parts]
        return torch.stack([torch.cat([part.result() for part in clip]) for clip in coming])

    @torch.inference_mode()
    def _on_cpu(self, frames: Tensor) -> Tensor:
        return self._backbone(frames[None])[0].half()  # type: ignore[no-any-return]

    def _on_gpu(self, clips: list[Tensor]) -> Tensor:
        """All parts are on their way at once, as bytes; the first is computed while the next are still coming."""
        computing, coming = torch.cuda.current_stream(), []
        with torch.cuda.stream(self._uploads):
            for first in range(0, len(clips), AT_ONCE):
                there = (
                    torch.stack(clips[first : first + AT_ONCE])
                    .pin_memory()
                    .to(self._device, non_blocking=True)
                )
                there.record_stream(computing)
                coming.append((there, self._uploads.record_event()))
        found = []
        for there, arrived in coming:
            computing.wait_event(arrived)
            found.append(self._graph(there)(there))
        return torch.cat(found).cpu()

    def _graph(self, part: Tensor) -> Callable[[Tensor], Tensor]:
        size = 1 << (len(part) - 1).bit_length()
        if size not in self._graphs:
            self._graphs[size] = self._captured(part.new_zeros(size, *part.shape[1:]))
        return self._graphs[size]

    def _captured(self, frames: Tensor) -> Callable[[Tensor], Tensor]:
        """Slower where a network or a driver does not let itself be captured, and never without an answer."""
        try:
            return _Graph(self._backbone, frames, self._pool)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            log.warning(
                "the forward pass cannot be captured as a graph, and runs kernel by kernel (%s)",
                reason,
            )
            return lambda part: self._backbone(part).half()


class _Graph:
    """The forward pass of one number of clips, captured as a CUDA graph: no Python between its many small kernels.

    As in torch's notes on CUDA graphs: some passes on another stream before it is captured, and fixed memory for what
    goes in and comes out. Graphs share their memory, so what comes out is copied before the next one runs.
    """

    def __init__(self, backbone: Backbone, frames: Tensor, pool: Any) -> None:
        self._frames, self._captured = frames, torch.cuda.CUDAGraph()
        before, warming = torch.cuda.current_stream(), _stream(frames.device)
        warming.wait_stream(before)
        with torch.cuda.stream(warming):
            for _ in range(3):
                backbone(frames)
        before.wait_stream(warming)
        # Other threads may use the GPU meanwhile: a challenger has streams and graphs of its own.
        with torch.cuda.graph(self._captured, pool=pool, capture_error_mode="thread_local"):
            self._features: Tensor = backbone(frames)

    def __call__(self, part: Tensor) -> Tensor:
        self._frames[: len(part)].copy_(part)
        self._captured.replay()
        return self._features[: len(part)].half()


@torch.no_grad()
def ready(backbone: Backbone, precision: torch.dtype) -> Backbone:
    """A copy that answers the same up to rounding: batch norms folded, products in `precision`, channels last."""
    made = _folded(copy.deepcopy(backbone).eval())
    if precision is not torch.float32:
        for layer in made.modules():
            if isinstance(
                layer, nn.Conv2d | nn.Linear
            ):  # autocast would cast these again for each batch
                layer.to(precision)
    return made.to(memory_format=torch.channels_last)


def _folded(backbone: Backbone) -> Backbone:
    """Each batch norm put into the weights of the convolution before it; the backbone itself where that is not so.

    Whether a norm that stands beside a convolution comes right after it, only a try can tell: of noise, since of a
    black picture many networks make nothing.
    """
    folded = copy.deepcopy(backbone)
    for parent in list(folded.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if (
                isinstance(conv, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and _fits(conv, norm)
            ):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(
                    parent, after, getattr(norm, "act", nn.Identity())
                )  # timm's have their activation within
    noise = torch.randn(1, *backbone.image, generator=torch.Generator().manual_seed(0)).to(
        backbone.mean.device
    )
    before, now = backbone.look(noise), folded.look(noise)
    return folded if bool((before - now).abs().max() <= ROUNDING * before.abs().max()) else backbone


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _fits(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    return conv.out_channels == norm.num_features and norm.running_mean is not None

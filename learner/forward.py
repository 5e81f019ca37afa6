"""A backbone made ready to predict: what only training needs is folded away.

Knows no checkpoint and no head.
"""

import copy
import hashlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from learner.backbone import Backbone
from learner.compiled import Compiled
from learner.precision import fast_precision

log = logging.getLogger(__name__)

# On a GPU so many clips are computed at a time, and fewer are filled up to a power of two: a few
# graphs are enough for all.
AT_ONCE = 8
# On a CPU so few frames are computed at a time in float32, and twice as many in bfloat16: more do
# not fit into the processor's caches (0.48 s of processor time for the 16 frames of a clip at once,
# 0.31 s by twos or fours). Even, since some networks take differences of two frames.
FRAMES_AT_ONCE = 2
# How far features of a folded network may be from the original ones, as a share of the largest one.
# Rounding is far below it, a wrong fold above.
ROUNDING = 1e-3


class Forward:
    """Frames on the CPU to features on the CPU, through `device`. Calls are thread-safe.

    Args:
        backbone: of the network.
        device: where it is.
        compiled: what computes on a CPU instead of `backbone`; None for PyTorch.
    """

    def __init__(
        self, backbone: Backbone, device: torch.device, compiled: Compiled | None = None
    ) -> None:
        self._device = device
        self._compiled = compiled
        precision = fast_precision(device)
        self._backbone = backbone if compiled else ready(backbone, precision)
        if device.type == "cuda":
            self._uploads = _stream(device)
            self._pool = torch.cuda.graph_pool_handle()
            self._graphs: dict[int, Callable[[Tensor], Tensor]] = {}
            # A graph has one place for its frames and one for its features.
            self._lock = threading.Lock()
        else:
            # Each core computes its own frames. If all cores shared each layer, all would wait, at
            # each layer, for the one core that a decoder uses at that moment.
            self._at_once = compiled.frames if compiled else frames_at_once(precision)
            self._workers = workers(torch.get_num_threads())

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

    def of_windows(self, windows: list[Tensor]) -> Tensor:
        """As a call, of windows that may overlap: a frame that they share is computed once."""
        at = self._backbone.frames_of_an_image  # so many frames give a row of features
        parts = [part for window in windows for part in torch.split(window, at)]
        places: dict[bytes, int] = {}
        new: list[Tensor] = []
        index = []
        for part in parts:
            digest = hashlib.blake2b(part.numpy().data, digest_size=16).digest()
            if digest not in places:
                places[digest] = len(new)
                new.append(part)
            index.append(places[digest])
        rows = len(windows[0]) // at
        new += new[-1:] * (-len(new) % rows)
        clips = [torch.cat(new[first : first + rows]) for first in range(0, len(new), rows)]
        features: Tensor = self(clips)
        return features.flatten(0, 1)[index].view(len(windows), rows, -1)

    @torch.inference_mode()
    def _on_cpu(self, frames: Tensor) -> Tensor:
        if self._compiled:
            return self._compiled(frames)
        return self._backbone(frames[None])[0].half()  # type: ignore[no-any-return]

    def _on_gpu(self, clips: list[Tensor]) -> Tensor:
        """All parts are uploaded at once, as bytes: one is computed while others are coming."""
        computing = torch.cuda.current_stream()
        coming = []
        with torch.cuda.stream(self._uploads):
            for first in range(0, len(clips), AT_ONCE):
                part = torch.stack(clips[first : first + AT_ONCE]).pin_memory()
                uploaded = part.to(self._device, non_blocking=True)
                uploaded.record_stream(computing)
                coming.append((uploaded, self._uploads.record_event()))
        found = []
        for uploaded, arrived in coming:
            computing.wait_event(arrived)
            found.append(self._graph(uploaded)(uploaded))
        return torch.cat(found).cpu()

    def _graph(self, part: Tensor) -> Callable[[Tensor], Tensor]:
        size = 1 << (len(part) - 1).bit_length()
        if size not in self._graphs:
            self._graphs[size] = self._captured(part.new_zeros(size, *part.shape[1:]))
        return self._graphs[size]

    def _captured(self, frames: Tensor) -> Callable[[Tensor], Tensor]:
        """If a network or a driver cannot be captured, it runs slower, but it does run."""
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
    """The forward pass of one number of clips as a CUDA graph: no Python between its many kernels.

    As in torch's notes on CUDA graphs: some passes on another stream before it is captured, and
    fixed memory for what goes in and comes out. Graphs share their memory, so what comes out is
    copied before the next one runs.
    """

    def __init__(self, backbone: Backbone, frames: Tensor, pool: Any) -> None:
        self._frames = frames
        self._captured = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream()
        warming = _stream(frames.device)
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
    """A copy that gives the same features up to rounding.

    Batch norms are folded, products are in `precision`, memory is channels-last.
    """
    made = _folded(copy.deepcopy(backbone).eval())
    if precision is not torch.float32:
        for layer in made.modules():
            # Else autocast would cast these again for each batch.
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.to(precision)
    return made.to(memory_format=torch.channels_last)


def _folded(backbone: Backbone) -> Backbone:
    """Each batch norm put into the weights of the convolution before it.

    Only a try shows whether a norm that stands beside a convolution comes right after it. If not,
    the backbone itself is given back. The try is with noise: of a black picture many networks
    make nothing.
    """
    folded = copy.deepcopy(backbone)
    for parent in list(folded.modules()):
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
                continue
            if not _fits(conv, norm):
                continue
            setattr(parent, name, fuse_conv_bn_eval(conv, norm))
            # timm's norms have their activation within them.
            setattr(parent, after, getattr(norm, "act", nn.Identity()))
    noise = torch.randn(1, *backbone.image, generator=torch.Generator().manual_seed(0))
    noise = noise.to(backbone.mean.device)
    before = backbone.extract(noise)
    now = folded.extract(noise)
    is_same = bool((before - now).abs().max() <= ROUNDING * before.abs().max())
    return folded if is_same else backbone


def _fits(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    return conv.out_channels == norm.num_features and norm.running_mean is not None


def frames_at_once(precision: torch.dtype) -> int:
    """How many frames are computed at a time on a CPU; see `FRAMES_AT_ONCE`."""
    return FRAMES_AT_ONCE * torch.float32.itemsize // precision.itemsize


def workers(count: int) -> ThreadPoolExecutor:
    """So many threads, in each of which torch computes by itself."""
    return ThreadPoolExecutor(count, initializer=use_one_thread, initargs=(ThreadpoolController(),))


def use_one_thread(controller: ThreadpoolController) -> None:
    """In this thread alone: `torch.set_num_threads` would change all threads that begin later."""
    # First torch has to set what is new in this thread: later, it would undo this.
    torch.get_num_threads()
    controller.select(user_api="openmp").limit(limits=1)


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

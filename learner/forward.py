"""A backbone made ready to predict: what only training needs is folded away.

Knows no checkpoint and no head.
"""

import copy
import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from learner.backbone import Backbone
from learner.compiled import Compiled
from learner.errors import VidwatchError
from learner.gpu import GpuForward
from learner.precision import fast_precision

log = logging.getLogger(__name__)

# On a CPU so few frames are computed at a time in float32, and twice as many in bfloat16: more do
# not fit into the processor's caches (0.48 s of processor time for the 16 frames of a clip at once,
# 0.31 s by twos or fours). Even, since some networks take differences of two frames.
FRAMES_AT_ONCE = 2
# How far features of a folded network may be from the original ones, as a share of the largest one.
# Rounding is far below it, a wrong fold above.
ROUNDING = 1e-3


class Forward:
    """Frames on the CPU to features on `device`. Calls are thread-safe.

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
            self._gpu = GpuForward(self._backbone, device)
        else:
            # Each core computes its own frames. If all cores shared each layer, all would wait, at
            # each layer, for the one core that a decoder uses at that moment.
            self._at_once = compiled.frames if compiled else frames_at_once(precision)
            self._workers = workers(torch.get_num_threads())

    def prepare(self) -> None:
        """Do what the first call would otherwise have to wait for."""
        if self._device.type == "cuda":
            self._gpu.prepare()

    @torch.inference_mode()
    def __call__(self, clips: list[Tensor]) -> Tensor:
        """`(T, H, W, 3)` uint8 RGB of each of B clips to `(B, T, F)` half-precision features.

        Raises:
            VidwatchError: a clip has another shape than the clips that the backbone was made for.
            torch.OutOfMemoryError: the GPU has no room for a single clip.
        """
        self._require_alike(clips)
        if self._device.type == "cuda":
            return self._gpu(clips)
        parts = [torch.split(clip, self._at_once) for clip in clips]
        coming = [[self._workers.submit(self._on_cpu, part) for part in clip] for clip in parts]
        return torch.stack([torch.cat([part.result() for part in clip]) for clip in coming])

    def _require_alike(self, clips: list[Tensor]) -> None:
        """A GPU's graph has a place for one shape: one frame alone would be taken for all of them.

        So on a CPU, too: a model gives the same for the same clip.
        """
        wanted = self._backbone.clip
        for clip in clips:
            if clip.shape != wanted or clip.dtype != torch.uint8:
                raise VidwatchError(
                    f"a clip has frames of shape {tuple(clip.shape)}, {clip.dtype}, where the "
                    f"model takes {wanted}, torch.uint8; read it with the model's own clip spec"
                )

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


@torch.no_grad()
def ready(backbone: Backbone, precision: torch.dtype) -> Backbone:
    """A copy on the same device that gives the same features up to rounding.

    Batch norms are folded, products are in `precision`, memory is channels-last.
    """
    # Folded and tried on the CPU: on a GPU, convolutions of float32 are by default computed with
    # TF32, whose rounding (2e-3 of the starter's features) a right fold would not pass.
    device = backbone.mean.device
    made = _folded(copy.deepcopy(backbone).cpu().eval()).to(device)
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
    before = backbone.extract(noise)
    now = folded.extract(noise)
    off = float((before - now).abs().max() / before.abs().max())
    if not off <= ROUNDING:
        log.warning("no batch norm is folded: features would be off by %.1e", off)
        return backbone
    of = count_norms(backbone)
    log.info("batch norms folded=%d of=%d", of - count_norms(folded), of)
    return folded


def count_norms(network: nn.Module) -> int:
    """How many batch norms are in a network: what is folded has fewer."""
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


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

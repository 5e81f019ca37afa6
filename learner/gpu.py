"""The forward pass on a GPU: clips are uploaded while others are computed, by CUDA graphs.

Knows no checkpoint and no head.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from learner.backbone import Backbone
from learner.memory import free_memory, is_out_of_memory, one_memory_error

log = logging.getLogger(__name__)

# So many clips are computed at a time, and fewer are filled up to a power of two: a few graphs are
# enough for all.
AT_ONCE = 8
GROWS_AFTER = 50  # parts without an error
# While one part is computed, the next one is uploaded.
PLACES = 2

# PyTorch allows one capture at a time in a process, and several models may be loaded at once.
_capturing = threading.Lock()


class GpuForward:
    """Frames on the CPU to features on the GPU. Calls are thread-safe."""

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        """Make it; `prepare` captures its graphs.

        Args:
            backbone: made ready, and on the device.
            device: a GPU.
        """
        self._backbone = backbone
        self._device = device
        self._lock = threading.Lock()
        self._places: list[_Place] = []
        self._graphs: dict[int, Callable[[Tensor], Tensor]] = {}
        self._pool: Any = None
        self._can_be_captured = True
        self._most = AT_ONCE
        self._good_parts = 0

    def prepare(self) -> None:
        """Capture the graphs of all sizes; those for which memory is short, when they are used."""
        size = 1
        with self._lock, self._on_device():
            while size <= AT_ONCE:
                try:
                    self._graph(size)
                except torch.OutOfMemoryError as error:
                    text = "the GPU is short of memory: %d clips at a time are not prepared (%s)"
                    log.warning(text, size, _first_line(error))
                    break
                size *= 2
            free_memory()

    def __call__(self, clips: list[Tensor]) -> Tensor:
        """`(T, H, W, 3)` uint8 RGB of each of B clips to `(B, T, F)` half-precision features.

        If memory is short, half as many clips are computed at a time, and after a while as many as
        before.

        Raises:
            torch.OutOfMemoryError: there is no memory for a single clip.
        """
        found: list[Tensor] = []
        done = 0
        with self._lock, self._on_device():
            while part := clips[done : done + self._most]:
                with contextlib.suppress(torch.OutOfMemoryError), one_memory_error():
                    found.append(self._computed(part))
                    done += len(part)
                    self._note_good_part()
                    continue
                # Not until here: the error holds what was computed so far.
                self._shrink(part)
            return torch.cat(found)

    def _on_device(self) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.cuda.device(self._device))
        return stack

    def _computed(self, part: list[Tensor]) -> Tensor:
        graph = self._graph(len(part))
        if not self._places:
            self._places = [_Place(self._backbone.clip, self._device) for _ in range(PLACES)]
        place = self._places.pop(0)
        self._places.append(place)
        frames = place.upload(part)
        features = graph(frames)
        place.release()
        return features

    def _note_good_part(self) -> None:
        self._good_parts += 1
        if self._good_parts >= GROWS_AFTER:
            self._most = min(2 * self._most, AT_ONCE)
            self._good_parts = 0

    def _shrink(self, part: list[Tensor]) -> None:
        free_memory()
        if len(part) == 1:
            raise torch.OutOfMemoryError("the GPU has no memory for a single clip")
        self._most = len(part) // 2
        self._good_parts = 0
        log.warning("the GPU is short of memory: %d clips at a time from now on", self._most)

    def _graph(self, count: int) -> Callable[[Tensor], Tensor]:
        """What computes so many clips. The smallest graph is captured before all others."""
        size = 1 << (count - 1).bit_length()
        if 1 not in self._graphs:
            self._graphs[1] = self._captured(1)
        if size not in self._graphs:
            self._graphs[size] = self._captured(size)
        return self._graphs[size]

    def _captured(self, size: int) -> Callable[[Tensor], Tensor]:
        """If a network or a driver cannot be captured, it runs slower, but it does run.

        What is captured for one clip is captured for several, unless memory is short: whatever that
        error says, nothing of it is kept, and the size is tried again when it is next used.
        """
        if not self._can_be_captured:
            return self._run
        frames = torch.zeros(size, *self._backbone.clip, dtype=torch.uint8, device=self._device)
        try:
            with _capturing, one_memory_error():
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                return _Graph(self._backbone, frames, self._pool)
        except RuntimeError as error:
            self._leave_pool()
            if is_out_of_memory(error):
                raise
            reason = _first_line(error)
            if size > 1:
                raise torch.OutOfMemoryError(reason) from error
            self._can_be_captured = False
            log.warning(
                "the forward pass cannot be captured as a graph, and runs kernel by kernel (%s)",
                reason,
            )
            return self._run

    def _leave_pool(self) -> None:
        """Let the allocator give memory as before, after a capture that failed.

        If a capture cannot be ended, PyTorch does not tell its allocator: it would never give
        memory back to the GPU again, nor take the pool for another capture. There is no public
        function for it.
        """
        end = getattr(torch._C, "_cuda_endAllocateToPool", None)
        release = getattr(torch._C, "_cuda_releasePool", None)
        if end is None or release is None:
            self._pool = None
            return
        with contextlib.suppress(RuntimeError):  # the allocator was told
            end(torch.cuda.current_device(), self._pool)
            release(torch.cuda.current_device(), self._pool)
        if not self._graphs:  # none holds the pool any more
            self._pool = None

    def _run(self, part: Tensor) -> Tensor:
        return self._backbone(part).half()  # type: ignore[no-any-return]


class _Place:
    """Where a part's frames lie: on the CPU, in memory that does not move, and on the GPU."""

    def __init__(self, clip: tuple[int, ...], device: torch.device) -> None:
        is_gpu = device.type == "cuda"
        shape = (AT_ONCE, *clip)
        self._here = torch.empty(shape, dtype=torch.uint8, pin_memory=is_gpu)
        self._there = torch.empty(shape, dtype=torch.uint8, device=device)
        self._uploads = _stream(device)
        # The memory may have been freed just now, and what was queued before may still use it.
        self._uploads.wait_stream(torch.cuda.current_stream())
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._taken = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def upload(self, clips: list[Tensor]) -> Tensor:
        """The frames on the GPU, for the current stream; until `release` they stay."""
        self._arrived.synchronize()  # else a part that is still on its way would be overwritten
        count = len(clips)
        torch.stack(clips, out=self._here[:count])
        with torch.cuda.stream(self._uploads):
            self._uploads.wait_event(self._taken)
            self._there[:count].copy_(self._here[:count], non_blocking=True)
            self._arrived.record()
        torch.cuda.current_stream().wait_event(self._arrived)
        return self._there[:count]

    def release(self) -> None:
        """The next part may come, once the current stream has come to here."""
        self._taken.record()


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
        try:
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(self._captured, pool=pool, capture_error_mode="thread_local"):
                self._features: Tensor = backbone(frames)
        finally:
            # PyTorch leaves this thread on its own stream if the capture cannot be ended.
            torch.cuda.set_stream(before)

    def __call__(self, part: Tensor) -> Tensor:
        self._frames[: len(part)].copy_(part)
        self._captured.replay()
        return self._features[: len(part)].half()


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

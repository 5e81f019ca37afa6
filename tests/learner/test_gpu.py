"""The forward pass on a GPU, with one that is made up: its streams, events and graphs are ours.

What only a GPU shows, `make gpu` tries.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, Self

import pytest
import torch
from torch import Tensor

from learner.backbone import Backbone
from learner.errors import PassingError, VidwatchError
from learner.forward import Forward, ready
from learner.gpu import AT_ONCE, GROWS_AFTER, GpuForward
from learner.memory import in_halves, is_out_of_memory
from learner.precision import choose_device, fast_precision, gpu_problem
from learner.spec import ClipSpec, NetworkArgs

CPU = torch.device("cpu")
SPEC = ClipSpec(frames=2, size=32)
INVALID = "CUDA error: operation failed due to a previous error during capture"


class Cuda:
    """What our code asks of `torch.cuda`: work is done at once, and a graph does it again."""

    def __init__(self) -> None:
        self.stream: object = "default"
        self.captured: list[int] = []
        self.failing: Callable[[int], Exception | None] = lambda size: None
        self.ends = True
        """Whether a capture that failed can be ended."""
        self.capturing = 0
        self.left: list[object] = []
        self.released: list[object] = []
        self.emptied = 0

    def graph_pool_handle(self) -> object:
        return object()

    def current_stream(self, device: object = None) -> SimpleNamespace:
        return SimpleNamespace(wait_event=lambda event: None, wait_stream=lambda other: None)

    def set_stream(self, stream: object) -> None:
        self.stream = "default"

    @contextmanager
    def on(self, stream: object) -> Iterator[None]:
        yield

    @contextmanager
    def graph(self, graph: Any, pool: object, capture_error_mode: str) -> Iterator[None]:
        assert not self.capturing, "two captures at a time"
        self.capturing += 1
        self.stream = "capturing"
        graph.is_open = True
        Graph.newest = graph
        try:
            yield
        except Exception:
            if not self.ends:
                raise RuntimeError(INVALID)  # noqa: B904  # as PyTorch does
            raise
        finally:
            self.capturing -= 1
            graph.is_open = False

    def empty_cache(self) -> None:
        self.emptied += 1


class Graph:
    newest: Self

    def __init__(self) -> None:
        self.is_open = False
        self.work: list[tuple[Tensor, Tensor]] = []

    def replay(self) -> None:
        for frames, features in self.work:
            features.copy_(self.run(frames))

    run: Callable[[Tensor], Tensor]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    made = Cuda()
    for name in ("graph_pool_handle", "current_stream", "set_stream", "graph", "empty_cache"):
        monkeypatch.setattr(torch.cuda, name, getattr(made, name))
    monkeypatch.setattr(torch.cuda, "stream", made.on)
    monkeypatch.setattr(torch.cuda, "device", made.on)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    event = SimpleNamespace(synchronize=lambda: None, record=lambda: None)
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr("learner.gpu._stream", lambda device: made.current_stream())
    ends = {"_cuda_endAllocateToPool": made.left, "_cuda_releasePool": made.released}
    for name, pools in ends.items():
        monkeypatch.setattr(torch._C, name, lambda device, pool, pools=pools: pools.append(pool))
    forward = Backbone.forward

    def noted(self: Backbone, frames: Tensor) -> Tensor:
        """While a graph is captured, the work is noted; its values are those of other frames."""
        found = forward(self, frames)
        if made.capturing:
            made.captured.append(len(frames))
            if error := made.failing(len(frames)):
                raise error
            Graph.newest.run = lambda frames: forward(self, frames)
            Graph.newest.work.append((frames, found))
        return found

    monkeypatch.setattr(Backbone, "forward", noted)
    return made


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return ready(Backbone(NetworkArgs("compact"), SPEC), torch.float32)


def frames(count: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, 2, 32, 32, 3)
    return list(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator))


def expected(backbone: Backbone, clips: list[Tensor]) -> Tensor:
    with torch.inference_mode():
        return torch.cat([backbone(clip[None]) for clip in clips]).half()


def require_right(forward: GpuForward, backbone: Backbone, count: int, seed: int = 0) -> None:
    clips = frames(count, seed)
    found = forward(clips)
    torch.testing.assert_close(found, expected(backbone, clips), atol=2e-3, rtol=2e-3)


def test_clips_of_any_number_get_their_own_features(cuda: Cuda, backbone: Backbone) -> None:
    """By graphs of a few sizes, which are used again with other clips in their memory."""
    forward = GpuForward(backbone, CPU)
    for seed, count in enumerate((1, 3, AT_ONCE, 2 * AT_ONCE + 3, 1, 40)):
        require_right(forward, backbone, count, seed)
    assert cuda.captured == [1, 4, 8]


def test_all_graphs_are_captured_when_a_model_is_made_ready(cuda: Cuda, backbone: Backbone) -> None:
    """The first batch would take seconds, and the next ones would be made half as large for it."""
    forward = GpuForward(backbone, CPU)
    forward.prepare()
    assert cuda.captured == [1, 2, 4, 8]
    require_right(forward, backbone, 21)
    assert cuda.captured == [1, 2, 4, 8]


@pytest.mark.slow
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("no room"), RuntimeError("FIND was unable to find an engine to ...")],
)
def test_a_gpu_short_of_memory_computes_fewer_clips_at_a_time_and_later_as_many_again(
    cuda: Cuda, backbone: Backbone, error: Exception, ends: bool
) -> None:
    """Whatever PyTorch makes of it: a capture that fails cannot always be ended."""
    forward = GpuForward(backbone, CPU)
    cuda.ends = ends
    cuda.failing = lambda size: error if size > 2 else None
    require_right(forward, backbone, 9)
    assert forward._most == 2
    assert cuda.captured == [1, 8, 4, 2]
    assert cuda.stream == "default"
    assert cuda.left == cuda.released == 2 * [forward._pool]
    assert cuda.emptied >= 2
    cuda.failing = lambda size: None
    forward._good_parts = GROWS_AFTER - 1
    require_right(forward, backbone, 2)
    require_right(forward, backbone, 4)
    assert forward._most == 4
    assert set(forward._graphs) == {1, 2, 4}


def test_any_error_of_a_larger_graph_is_taken_for_short_memory(
    cuda: Cuda, backbone: Backbone
) -> None:
    """Of a network that was captured for one clip: kernel by kernel it would be slow for ever."""
    forward = GpuForward(backbone, CPU)
    cuda.failing = lambda size: RuntimeError(INVALID) if size == 8 else None
    require_right(forward, backbone, 8)
    assert set(forward._graphs) == {1, 4}
    cuda.failing = lambda size: None
    forward._most = 8
    require_right(forward, backbone, 8)
    assert set(forward._graphs) == {1, 4, 8}


def test_a_network_that_cannot_be_captured_runs_kernel_by_kernel(
    cuda: Cuda, backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    forward = GpuForward(backbone, CPU)
    cuda.failing = lambda size: RuntimeError("operation not permitted when stream is capturing")
    forward.prepare()
    require_right(forward, backbone, 11)
    assert cuda.captured == [1]
    assert [record.getMessage() for record in caplog.records] == [
        "the forward pass cannot be captured as a graph, and runs kernel by kernel "
        "(operation not permitted when stream is capturing)"
    ]


@pytest.mark.slow
def test_no_memory_for_a_single_clip_is_an_error_and_the_next_call_tries_again(
    cuda: Cuda, backbone: Backbone
) -> None:
    forward = GpuForward(backbone, CPU)
    cuda.failing = lambda size: torch.OutOfMemoryError("no room")
    forward.prepare()
    with pytest.raises(torch.OutOfMemoryError, match="no memory for a single clip"):
        forward(frames(3))
    assert forward._graphs == {}
    cuda.failing = lambda size: None
    require_right(forward, backbone, 3)


@pytest.mark.slow
def test_two_models_of_a_process_do_not_capture_at_once(cuda: Cuda, backbone: Backbone) -> None:
    forwards = [GpuForward(copy.deepcopy(backbone), CPU) for _ in range(2)]
    threads = [threading.Thread(target=forward.prepare) for forward in forwards]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(forward._graphs) for forward in forwards] == [{1, 2, 4, 8}] * 2


@pytest.mark.parametrize(
    "clip",
    [
        torch.zeros(1, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(4, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(2, 16, 32, 3, dtype=torch.uint8),
        torch.zeros(2, 32, 32, 3),
    ],
)
def test_a_clip_of_another_shape_is_an_error(backbone: Backbone, clip: Tensor) -> None:
    """On a GPU one frame would be taken for all frames of the clip."""
    forward = Forward(backbone, CPU)
    with pytest.raises(VidwatchError, match=r"where the model takes \(2, 32, 32, 3\), torch.uint8"):
        forward([frames(1)[0], clip])


def test_batch_norms_are_folded_by_a_trial_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A GPU rounds to TF32 by default: a right fold would not pass there, and be given up."""
    tried = []
    extract = Backbone.extract
    monkeypatch.setattr(
        Backbone,
        "extract",
        lambda self, images: tried.append(images.device.type) or extract(self, images),
    )
    net = Backbone(NetworkArgs("compact"), SPEC).to("meta")
    monkeypatch.setattr(Backbone, "cpu", lambda self: Backbone(NetworkArgs("compact"), SPEC))
    with caplog.at_level("INFO"):
        made = ready(net, torch.float32)
    assert set(tried) == {"cpu"}
    assert made.mean.device.type == "meta"
    assert "batch norms folded=4 of=4" in caplog.text


def test_what_errors_are_about_memory() -> None:
    assert is_out_of_memory(RuntimeError("cuBLAS: CUBLAS_STATUS_ALLOC_FAILED"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    hidden = RuntimeError(INVALID)
    hidden.__context__ = torch.OutOfMemoryError("no room")
    assert is_out_of_memory(hidden)


def test_a_batch_is_halved_until_there_is_memory_for_it() -> None:
    sizes = []

    def double(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("no room")
        return 2 * batch

    batch = torch.arange(7)
    assert torch.cat(in_halves(double, batch)).tolist() == (2 * batch).tolist()
    assert sizes == [7, 4, 2, 2, 3, 2, 1]


@pytest.fixture
def broken_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A GPU that PyTorch finds, and whose first kernel fails with a text."""
    gpu_problem.cache_clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def fail_with(text: str) -> None:
        def ones(*shape: int, device: torch.device) -> Tensor:
            raise torch.AcceleratorError(text)

        monkeypatch.setattr(torch, "ones", ones)

    yield fail_with
    gpu_problem.cache_clear()


def test_a_gpu_that_cannot_compute_is_not_used(broken_gpu: Callable[[str], None]) -> None:
    """It is older than PyTorch was built for: is_available() says that it is there."""
    broken_gpu("CUDA error: no kernel image is available for execution on the device\nmore")
    assert choose_device("auto") == choose_device() == CPU
    with pytest.raises(VidwatchError, match=r"'cuda', but PyTorch cannot compute .*no kernel"):
        choose_device("cuda")
    assert choose_device("cpu") == CPU


def test_a_gpu_whose_memory_is_taken_may_be_used_later(broken_gpu: Callable[[str], None]) -> None:
    broken_gpu("CUDA error: out of memory")
    with pytest.raises(PassingError, match="the GPU has no free memory"):
        choose_device("auto")


def test_an_older_pytorch_says_by_other_functions_what_a_processor_can_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fast_precision.cache_clear()
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for able in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        assert fast_precision(CPU) is (torch.bfloat16 if able else torch.float32)
        fast_precision.cache_clear()

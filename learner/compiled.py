"""A backbone that OpenVINO computes: the same features, on a CPU, in less time than by PyTorch.

Knows neither when it is used nor where it is kept: see `learner.engines`.
"""

import io
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

from learner.backbone import Backbone

REPORTER = "openvino_telemetry"
# The names that OpenVINO has for what it computes in.
NAMES = {torch.float32: "f32", torch.bfloat16: "bf16"}


@cache
def version() -> str | None:
    """The version of OpenVINO; None if it is not installed. It is not imported."""
    try:
        return version_of("openvino")
    except PackageNotFoundError:
        return None


class Compiled:
    """A compiled backbone. Calls are thread-safe.

    Args:
        blob: what `compile_backbone` gave.
        precision: what it was given.
        threads: how many calls compute at a time, each of them in one thread.
    """

    def __init__(self, blob: bytes, precision: torch.dtype, threads: int) -> None:
        network = _core().import_model(io.BytesIO(blob), "CPU", _settings(threads, precision))
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(network.create_infer_request())
        self.frames = int(network.input(0).shape[0])
        """How many frames a call takes: those that give one row of features."""

    def __call__(self, frames: Tensor) -> Tensor:
        """`(frames, H, W, 3)` uint8 RGB to `(1, F)` half-precision features."""
        request = self._requests.get()
        try:
            request.infer([frames.numpy()], share_inputs=True)
            return torch.from_numpy(request.get_output_tensor(0).data).half()
        finally:
            self._requests.put(request)


def compile_backbone(backbone: Backbone, precision: torch.dtype) -> bytes:
    """A backbone, folded already, as OpenVINO computes it on the processor of this machine.

    Raises:
        Exception: OpenVINO cannot compute it; its errors have no common class.
    """
    compiled = _core().compile_model(_converted(backbone), "CPU", _settings(1, precision))
    return compiled.export_model().getvalue()  # type: ignore[no-any-return]


def _converted(backbone: Backbone) -> Any:
    """The backbone as one of OpenVINO's models: uint8 frames in, features out."""
    frames = torch.zeros(backbone.frames_of_an_image, *backbone.image[1:], 3, dtype=torch.uint8)
    with torch.no_grad():  # with gradients, some layers of ours are functions that it cannot read
        return openvino().convert_model(
            _Frames(backbone).eval(), example_input=frames, input=list(frames.shape)
        )


def openvino() -> Any:
    """OpenVINO itself.

    At each import it tells Google Analytics of it, unless its reporter is missing. So it does not
    find its reporter. A process that has imported it before is left as it is.
    """
    if "openvino" not in sys.modules and REPORTER not in sys.modules:
        sys.modules[REPORTER] = None  # type: ignore[assignment]  # as Python documents it
        try:
            import openvino
        finally:
            del sys.modules[REPORTER]
        return openvino
    import openvino

    return openvino


class _Frames(nn.Module):
    """A backbone with what is done to frames before it."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self._backbone = backbone

    def forward(self, frames: Tensor) -> Tensor:
        return self._backbone.extract(self._backbone.images(frames.float()))


@cache
def _core() -> Any:
    return openvino().Core()


def _settings(threads: int, precision: torch.dtype) -> dict[str, Any]:
    """Each stream is a call that computes by itself, wherever the system puts its thread."""
    return {
        "INFERENCE_PRECISION_HINT": NAMES[precision],
        "NUM_STREAMS": threads,
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }

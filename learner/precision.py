"""The device, which precision is fast on it, and products in that."""

from functools import cache

import torch

from learner.errors import VidwatchError


def choose_device(name: str | None = None) -> torch.device:
    """The device of a name: None or "auto" is the GPU if there is one, else the CPU.

    Raises:
        VidwatchError: it is a GPU, and this machine has none that can be used.
    """
    has_gpu = torch.cuda.is_available()
    if name is None or name == "auto":
        return torch.device("cuda" if has_gpu else "cpu")
    if name.startswith("cuda") and not has_gpu:
        raise VidwatchError(
            f"device is '{name}', but this machine has no usable GPU; give 'auto' or 'cpu'"
        )
    return torch.device(name)


@cache
def fast_precision(device: torch.device, training: bool = False) -> torch.dtype:
    """bfloat16, or half on an older GPU, if the device has instructions for it, else float32.

    It is several times faster and gives the same predictions. Without such instructions it is
    emulated: right, and slower than float32. A network is never trained in half: its small
    gradients would be lost.
    """
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return torch.bfloat16
        return torch.float32 if training else torch.float16
    able = torch.cpu.get_capabilities()
    # The last one is ARM's.
    has_instructions = any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if has_instructions and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def fast_products(device: torch.device, training: bool) -> torch.autocast:
    """Within it, convolutions and matrix products are computed in the fast precision."""
    precision = fast_precision(device, training)
    # Each weight is used once a pass, so no cast of it is worth keeping, least of all within a CUDA
    # graph.
    return torch.autocast(
        device.type, precision, enabled=precision is not torch.float32, cache_enabled=False
    )

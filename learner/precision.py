"""The device, which precision is fast on it, and products in that."""

from functools import cache

import torch

from learner.errors import PassingError, VidwatchError
from learner.memory import is_out_of_memory

AUTOMATIC = (None, "auto")


def choose_device(name: str | None = None) -> torch.device:
    """The device of a name: None or "auto" is the GPU if there is one that works, else the CPU.

    Raises:
        VidwatchError: it is a GPU, and this machine has none that can be used.
        PassingError: other programs have all of the GPU's memory.
    """
    device = named_device(name)
    if device.type != "cuda":
        return device
    problem = gpu_problem(device)
    if problem is None:
        return device
    if name in AUTOMATIC:
        return torch.device("cpu")
    raise VidwatchError(
        f"device is '{name}', but PyTorch cannot compute on that GPU ({problem}); "
        "give 'auto' or 'cpu'"
    )


def named_device(name: str | None = None) -> torch.device:
    """As `choose_device`, but whether a GPU that is there works is not tried: it stays untouched.

    Raises:
        VidwatchError: it is a GPU, and PyTorch finds none.
    """
    has_gpu = torch.cuda.is_available()
    if name is None or name in AUTOMATIC:
        return torch.device("cuda" if has_gpu else "cpu")
    if name.startswith("cuda") and not has_gpu:
        raise VidwatchError(
            f"device is '{name}', but this machine has no usable GPU; give 'auto' or 'cpu'"
        )
    return torch.device(name)


@cache
def gpu_problem(device: torch.device) -> str | None:
    """Why nothing can be computed on a GPU that is there; None if it can.

    A GPU that is older than PyTorch was built for is available all the same: its first kernel
    fails. So one is run.

    Raises:
        PassingError: other programs have all of its memory.
    """
    try:
        torch.ones(2, device=device).sum().item()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise PassingError(
                "the GPU has no free memory; end other programs that use it, or set device to 'cpu'"
            ) from error
        return str(error).partition("\n")[0]
    return None


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
    if _has_bf16() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


def _has_bf16() -> bool:
    """Whether this processor has instructions for bfloat16."""
    if hasattr(torch.cpu, "get_capabilities"):
        able = torch.cpu.get_capabilities()
        # The last one is ARM's.
        return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    # PyTorch before 2.12 says it by functions of their own, and nothing of ARM.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def fast_products(device: torch.device, training: bool) -> torch.autocast:
    """Within it, convolutions and matrix products are computed in the fast precision."""
    precision = fast_precision(device, training)
    # Each weight is used once a pass, so no cast of it is worth keeping, least of all within a CUDA
    # graph.
    return torch.autocast(
        device.type, precision, enabled=precision is not torch.float32, cache_enabled=False
    )

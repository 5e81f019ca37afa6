"""Which precision is fast on a device, and products in it."""

from functools import cache

import torch


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

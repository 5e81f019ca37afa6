"""What lets the same seed give the same weights, and leaves the process as it was."""

import contextlib
from collections.abc import Iterator

import torch


def own_random_numbers(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Within it random numbers are drawn, and the caller's stay as they were.

    A GPU that is not used is not touched.
    """
    devices = [] if device.type == "cpu" else [device]
    return torch.random.fork_rng(devices, device_type=device.type)


def seed(number: int, device: torch.device) -> None:
    """Begin the random numbers of the CPU and of `device` anew."""
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(number)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """Within it cuDNN takes algorithms that give the same each time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Within it torch computes with so many threads; None: with as many as before.

    A head's products are too small to be shared among threads. On two busy cores, two threads took
    30 times as long as one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""A device that is short of memory: how its errors are told apart, and work in smaller parts."""

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")

# What errors of CUDA, cuBLAS and cuDNN say that are no `torch.OutOfMemoryError`. cuDNN tries all
# its ways to compute a convolution, and if none of them gets memory, it has "no engine".
SIGNS = ("out of memory", "ALLOC_FAILED", "unable to find an engine")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it was raised after, is about the memory of a device."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, torch.OutOfMemoryError):
            return True
        if isinstance(at, RuntimeError) and any(sign in str(at) for sign in SIGNS):
            return True
        at = at.__cause__ or at.__context__
    return False


@contextlib.contextmanager
def one_memory_error() -> Iterator[None]:
    """Within it, whatever a device says if its memory is short is a `torch.OutOfMemoryError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise torch.OutOfMemoryError(str(error).partition("\n")[0]) from error
        raise


def free_memory() -> None:
    """Give the memory that nothing uses back to the GPU; without one in use, do nothing."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()  # an error that was caught may still hold what was computed before it
        torch.cuda.empty_cache()


def in_halves(compute: Callable[[Tensor], Found], batch: Tensor) -> list[Found]:
    """What `compute` gives for `batch`; of each half, and so on, where memory is short.

    Raises:
        torch.OutOfMemoryError: there is no memory for a single row of the batch.
    """
    with contextlib.suppress(torch.OutOfMemoryError), one_memory_error():
        return [compute(batch)]
    # Not until here: the error holds what was computed so far.
    free_memory()
    if len(batch) == 1:
        with one_memory_error():
            return [compute(batch)]
    return [found for half in batch.chunk(2) for found in in_halves(compute, half)]

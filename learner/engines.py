"""What computes a backbone on a CPU: PyTorch, or OpenVINO if it is installed and faster here.

Which of them it is, is tried once for each backbone. The result is kept in the cache, with the
compiled backbone.
"""

import threading

import numpy as np
import torch

from learner.backbone import Backbone
from learner.cache import Cache, Shelf
from learner.compiled import Compiled, version
from learner.engine_trial import tried
from learner.precision import fast_precision
from learner.process import processor_name
from learner.weights import weights_digest

TORCH = "PyTorch"
ENTRY = "compiled"  # of the cache; empty if PyTorch is to be used
CPU = torch.device("cpu")


class Engine:
    """What computes a backbone.

    Args:
        name: PyTorch, or OpenVINO with its version. Features by different ones differ in rounding.
        blob: the compiled backbone; empty for PyTorch.
    """

    def __init__(self, name: str = TORCH, blob: bytes = b"") -> None:
        self.name = name
        self._blob = blob
        self._compiled: Compiled | None = None
        self._compiling = threading.Lock()

    def compiled(self) -> Compiled | None:
        """What computes instead of PyTorch, in as many threads; None for PyTorch."""
        with self._compiling:
            if self._blob:
                threads = torch.get_num_threads()
                self._compiled = Compiled(self._blob, fast_precision(CPU), threads)
                self._blob = b""  # of the size of its weights
            return self._compiled


def choose(backbone: Backbone, wanted: str = "auto", cache: Cache | None = None) -> Engine:
    """The engine for a backbone.

    Args:
        backbone: its weights and its size count.
        wanted: "auto" for whichever is faster, "torch", or "openvino" even where that is slower.
        cache: where the result is kept.
    """
    installed = version()
    device = backbone.mean.device
    if installed is None or device.type != "cpu" or wanted == "torch":
        return Engine()
    precision = fast_precision(device)
    shelf = _shelf(backbone, precision, cache or Cache())
    stored = shelf.get(ENTRY)
    if stored is None or (wanted != "auto" and not stored.size):
        blob = tried(backbone, precision, anyway=wanted != "auto")
        if blob is None:
            return Engine()
        stored = np.frombuffer(blob, np.uint8)
        shelf.put(ENTRY, stored)
    return Engine(f"OpenVINO {installed}", stored.tobytes()) if stored.size else Engine()


def _shelf(backbone: Backbone, precision: torch.dtype, cache: Cache) -> Shelf:
    parts = (
        (version(), torch.__version__, processor_name()),
        (backbone.args.body(), backbone.args.pooled, weights_digest(backbone), backbone.image),
        (backbone.mean.flatten().tolist(), backbone.std.flatten().tolist(), str(precision)),
    )
    return cache.shelf("engines", repr(parts))

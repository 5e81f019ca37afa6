"""A clip's features in 64 bytes: they find clips of one scene without reading any again."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

BITS = 512


def fingerprint(features: Array) -> bytes:
    """`(T, F)` features of a clip's frames to 64 bytes.

    Each of the 512 bits says on which side of a random plane the mean of the features lies. The
    share of bits in which two clips differ is the angle between them over pi (Charikar, 2002,
    "Similarity estimation techniques from rounding algorithms").
    """
    is_above = features.astype(np.float32).mean(0) @ _planes(features.shape[1]) > 0
    return np.packbits(is_above).tobytes()


@cache
def _planes(features: int) -> Array:
    return np.random.default_rng(0).standard_normal((features, BITS)).astype(np.float32)


def majority(fingerprints: Sequence[bytes]) -> bytes | None:
    """Of each bit the value that most of these fingerprints have; None if there are none."""
    if not fingerprints:
        return None
    bits = np.unpackbits(np.frombuffer(b"".join(fingerprints), np.uint8))
    votes = bits.reshape(len(fingerprints), BITS).sum(0)
    return np.packbits(2 * votes > len(fingerprints)).tobytes()

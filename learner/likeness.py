"""Which clips look the same, by their fingerprints. Opens no file."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Of 512 bits, so many at most differ. Within UCF101's groups that is true of 48 % of the pairs of
# clips, and of 1 in 20,000 of other pairs.
ALIKE = 70
COMPARED = 2000  # clips before it that a clip may look like

# So many clips are compared with those before them at once: what is held for that then fits into
# the processor's cache.
_AT_ONCE = 16
_FAR = 60_000  # a distance that is none


def alike(fingerprint: bytes, others: Sequence[bytes]) -> int | None:
    """The position of the fingerprint in `others` that is most like this one.

    None if no other one shows the same scene.
    """
    import numpy as np  # here, since commands that end at once import this module

    if not others:
        return None
    words = np.frombuffer(b"".join(others), np.uint64).reshape(len(others), -1)
    differing = np.bitwise_count(words ^ np.frombuffer(fingerprint, np.uint64))
    distances = differing.sum(1)
    nearest = int(distances.argmin())
    return nearest if distances[nearest] <= ALIKE else None


def earlier_alike(fingerprints: Sequence[bytes]) -> list[int | None]:
    """For each fingerprint, the position of that one before it that is most like it.

    The first of several that are equally like it; None if none of the `COMPARED` before it shows
    the same scene. 10,000 fingerprints take a tenth of a second.
    """
    import numpy as np  # here, since commands that end at once import this module

    n = len(fingerprints)
    # (words of a fingerprint, fingerprints)
    words = np.frombuffer(b"".join(fingerprints), np.uint64).reshape(n, -1).T.copy()
    half = len(words) // 2
    found: list[int | None] = []
    for begin in range(0, n, _AT_ONCE):
        end = min(n, begin + _AT_ONCE)
        first = max(0, begin - COMPARED)
        own, before = words[:, begin:end], words[:, first:end]
        # In the half of its bits, nearly all other clips differ too much already.
        distances = _distances(own[:half], before[:half])
        distances[_not_compared(begin - first, end - begin)] = _FAR
        near = np.flatnonzero(distances <= ALIKE)
        if 8 * len(near) > distances.size:  # as of one fixed camera
            distances += _distances(own[half:], before[half:])
        else:
            rows, columns = np.divmod(near, distances.shape[1])
            rest = np.bitwise_count(own[half:, rows] ^ before[half:, columns]).sum(0)
            both = distances.flat[near] + rest
            distances[:] = _FAR
            distances.flat[near] = both
        nearest = distances.argmin(1)
        is_alike = distances[np.arange(end - begin), nearest] <= ALIKE
        found += [
            first + at if alike_ else None
            for at, alike_ in zip(nearest.tolist(), is_alike.tolist(), strict=True)
        ]
    return found


@lru_cache(maxsize=1)
def _not_compared(before: int, own: int) -> "NDArray[np.bool_]":
    """(own, before + own): which of the fingerprints before, and of these, one is not held against.

    Neither itself, nor those after it, nor those too far before it.
    """
    import numpy as np

    back = before + np.arange(own)[:, None] - np.arange(before + own)
    return (back < 1) | (back > COMPARED)


def _distances(own: "NDArray[np.uint64]", others: "NDArray[np.uint64]") -> "NDArray[np.uint16]":
    """How many bits differ, (n, m), of fingerprints (words, n) and (words, m)."""
    import numpy as np

    distances = np.zeros((own.shape[1], others.shape[1]), np.uint16)
    for one, other in zip(own, others, strict=True):
        distances += np.bitwise_count(one[:, None] ^ other)
    return distances

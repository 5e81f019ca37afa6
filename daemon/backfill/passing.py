"""Passes groups of files and clips on within a cluster.

Loads nothing heavy: it runs in processes that neither decode nor predict.
"""

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

AHEAD = 16  # groups of files that wait for the cluster
KEPT = 500  # groups that can be asked for again, after a worker was lost
Block = dict[str, Any]


class Passing:
    """Holds few groups of files until they are wanted, and those before for a while."""

    def __init__(self) -> None:
        self._groups: dict[int, bytes | None] = {}
        self._n_put = 0
        self._n_got = 0
        self._changed = asyncio.Condition()

    async def put(self, group: bytes | None) -> None:
        """Take a group; waits while enough are here. None is the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._n_put - self._n_got < AHEAD)
            self._groups[self._n_put] = group
            self._n_put += 1
            self._groups.pop(self._n_put - KEPT, None)
            self._changed.notify_all()

    async def get(self, number: int) -> bytes | None:
        """A group by its number; an empty one if it is too long ago."""
        async with self._changed:
            self._n_got = max(self._n_got, number + 1)
            self._changed.notify_all()
            await self._changed.wait_for(lambda: self._n_put > number)
            return self._groups.get(number, pickle.dumps([]))


def listed(block: Block, passing: Any) -> Iterator[Block]:
    """The groups that are passed on, as a stream of blocks."""
    import ray

    number = 0
    while (group := ray.get(passing.get.remote(number))) is not None:
        number += 1
        yield row_of(group)


def row_of(group: bytes) -> Block:
    """A block with one group, which is pickled."""
    row = np.empty(1, object)
    row[0] = group
    return {"group": row}


def unpacked(block: Block) -> Any:
    """The group of a block."""
    return pickle.loads(block["group"][0])

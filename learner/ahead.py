"""Reads the next files while the device works on those before."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from learner.errors import VidwatchError
from learner.process import usable_cores
from learner.video import Clip

BATCH = 8  # files


def decoded(
    paths: Iterable[str | os.PathLike[str]], read: Callable[[str], Clip]
) -> Iterator[list[tuple[str, Clip | str]]]:
    """Batches of (file, clip or the reason why there is none).

    While one batch is in use, the next one is decoded.
    """

    def attempt(path: str) -> tuple[str, Clip | str]:
        try:
            return path, read(path)
        except OSError as error:
            return path, f"cannot be read ({error.strerror})"
        except VidwatchError as error:
            return path, str(error)

    names = (os.fspath(path) for path in paths)
    with ThreadPoolExecutor(usable_cores()) as pool:
        waiting: list[Future[tuple[str, Clip | str]]] = []
        while True:
            ahead = [pool.submit(attempt, name) for name in islice(names, BATCH)]
            if waiting:
                yield [future.result() for future in waiting]
            if not ahead:
                return
            waiting = ahead

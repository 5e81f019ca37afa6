"""Asks file systems that may not answer: a share whose server is away holds up whoever asks it."""

import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 3.0  # seconds


class Answers:
    """Asks in threads of their own. Whoever does not answer is not asked again until it does."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Nothing is asked yet.

        Args:
            patience: For how many seconds an answer is waited for.
        """
        self._patience = patience
        self._silent: dict[bytes, threading.Thread] = {}

    def of(self, folder: bytes, ask: Callable[[], T]) -> T:
        """What `ask` returns, or raises, about something in a folder.

        Raises:
            TimeoutError: there was no answer in time.
        """
        if folder in self._silent and self._silent[folder].is_alive():
            raise _no_answer(folder)
        found: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                found.append(ask())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run, name=f"asking {os.fsdecode(folder)}", daemon=True)
        thread.start()
        thread.join(self._patience)
        if thread.is_alive():
            self._silent[folder] = thread
            raise _no_answer(folder)
        self._silent.pop(folder, None)
        if failed:
            raise failed[0]
        return found[0]


def _no_answer(folder: bytes) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, "it does not answer", os.fsdecode(folder))

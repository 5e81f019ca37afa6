"""A watcher on a folder of a test, and what takes its files."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from daemon.home.folders import Found
from daemon.home.identity import Identity
from daemon.home.left_alone import LeftAlone
from daemon.inbox.watcher import Watcher, WatcherSettings

SETTLE = 0.3


class Taken:
    """Takes the files of a watcher, and knows them from then on, as the queue does."""

    def __init__(self) -> None:
        self.files: dict[bytes, Identity] = {}
        self.calls = 0
        self.notes: dict[str, str] = {}
        self.noted: list[str] = []

    def enqueue(self, whole: Sequence[Found]) -> None:
        self.calls += len(whole)
        self.files.update({file.path: file.identity for file in whole})

    def unknown(self, files: Sequence[Found]) -> list[Found]:
        return [file for file in files if file.identity not in self.files.values()]

    def note(self, subject: str, text: str | None) -> None:
        self.notes.pop(subject, None)
        if text:
            self.notes[subject] = text
            self.noted.append(text)

    def names(self, root: Path) -> set[str]:
        return {os.path.relpath(os.fsdecode(path), root) for path in self.files}


def watch(
    inbox: Path,
    found: Taken,
    rescan: float = 3600,
    polling: bool = False,
    settle: float = SETTLE,
    left_alone: LeftAlone | None = None,
) -> Watcher:
    settings = WatcherSettings(
        settle=settle,
        rescan=rescan,
        polling=polling,
        unknown=found.unknown,
        take=found.enqueue,
        trouble=ConnectionError,
        shown_elsewhere=lambda error: False,
        note=found.note,
        beat=lambda: None,
        left_alone=left_alone or LeftAlone(),
    )
    return Watcher([bytes(inbox)], settings)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)

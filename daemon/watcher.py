"""Finds files in folders, by events and by searching, and hands on those that are whole. Knows no video.

Events are hints, the search is the truth: watchdog loses events when they come too fast.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from daemon.identity import Identity, identify, open_for_writing, printable
from daemon.stability import Tracker, is_left_alone

log = logging.getLogger(__name__)

# Not the events of reading: our own looks at a file would keep it from ever being at rest.
EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
TICK = 0.1
BATCH = 200


class Watcher(FileSystemEventHandler):
    """A thread that hands the whole files below `folders` to `take`, some at a time.

    The folders are searched every `rescan` seconds, or less often where that takes long; `unknown` tells which of the
    files there need a second look. Where it or `take` raises `trouble`, it is tried again.
    """

    def __init__(
        self,
        folders: Sequence[bytes],
        *,
        settle: float,
        rescan: float,
        unknown: Callable[[Sequence[tuple[bytes, Identity | None]]], list[bytes]],
        take: Callable[[list[tuple[bytes, Identity]]], object],
        trouble: type[Exception],
        on_death: Callable[[], None],
    ) -> None:
        self.folders = folders
        self.tracker = Tracker(settle)
        self.death: BaseException | None = None
        self._rescan, self._next_search = rescan, 0.0
        self._unknown, self._take, self._trouble, self._on_death = unknown, take, trouble, on_death
        self._touched: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._stop, self._stepping = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._observer = Observer()

    def start(self) -> None:
        """Watch, and search the folders for what is there already."""
        try:
            for folder in self.folders:
                self._observer.schedule(self, os.fsdecode(folder), recursive=True, event_filter=EVENTS)
            self._observer.start()
        except OSError as error:
            log.warning("no file events (%s): new files are found by searching the folders", error)
        self._thread.start()

    def stop(self) -> None:
        """End both threads."""
        self._stop.set()
        # It calls its own stopping an error.
        logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        self._thread.join()

    def at_rest(self) -> bool:
        """Whether the folders were searched, and no file is left that may become whole within the settle time."""
        with self._stepping:
            return self._next_search > 0 and self._touched.empty() and self.tracker.nothing_may_settle()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note the path; called in watchdog's thread."""
        self._touched.put(os.fsencode(event.dest_path or event.src_path))

    def _run(self) -> None:
        try:
            while not self._stop.wait(TICK):
                with self._stepping:
                    self._step(time.monotonic())
        except BaseException as error:
            self.death = error
            self._on_death()
            raise

    def _step(self, now: float) -> None:
        while not self._touched.empty():
            for path in self._files(self._touched.get()):
                self.tracker.touch(path, now)
        if now >= self._next_search:
            self._search(now)
        whole = self.tracker.whole(now, _look, open_for_writing)
        for first in range(0, len(whole), BATCH):
            batch = whole[first : first + BATCH]
            try:
                self._take(batch)
            except self._trouble as error:
                log.warning("files cannot be taken up now, trying again: %s", str(error).partition("\n")[0])
                for path, _ in batch:
                    self.tracker.touch(path, now)

    def _search(self, now: float) -> None:
        try:
            for folder in self.folders:
                found = iter(self._files(folder))
                while some := [(path, _look(path)) for path in islice(found, BATCH)]:
                    for path in self._unknown(some):
                        self.tracker.touch(path, now)
        except self._trouble as error:
            log.warning("folders cannot be searched now, trying again: %s", str(error).partition("\n")[0])
            return
        # Among a million files filed, looking for moved ones may take a twentieth of one processor, and no more.
        took = time.monotonic() - now
        self._next_search = now + max(self._rescan, 20 * took)

    def _files(self, path: bytes) -> Iterator[bytes]:
        """The files at or below `path` that are not left alone. Links are not followed."""
        if os.path.isdir(path) and (path in self.folders or not os.path.islink(path)):
            for folder, _, names in os.walk(path, onerror=_log_unreadable):
                yield from self._candidates(os.path.join(folder, name) for name in names)
        else:
            yield from self._candidates([path])

    def _candidates(self, paths: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
        return (path for path in paths if not is_left_alone(self._relative(path)))

    def _relative(self, path: bytes) -> bytes:
        return next(path[len(folder) + 1 :] for folder in self.folders if path.startswith(folder))


def _look(path: bytes) -> Identity | None:
    try:
        return identify(path)
    except OSError:  # the next search finds it, when it can be looked at
        return None


def _log_unreadable(error: OSError) -> None:
    log.warning("folder %s cannot be searched: %s", printable(os.fsdecode(error.filename)), error.strerror)

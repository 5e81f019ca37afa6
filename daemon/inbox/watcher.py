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

from daemon.home.folders import is_left_alone
from daemon.home.identity import Identity, identify, open_for_writing, printable
from daemon.inbox.events import Events
from daemon.inbox.settling import Tracker

log = logging.getLogger(__name__)

TICK = 0.1
# Between two looks at what has happened: a copy reports every block that it writes.
BREATH = 0.02
BATCH = 200
PAUSE = 2.0  # seconds


class Watcher:
    """A thread that hands the whole files below `folders` to `take`, some at a time.

    The folders are searched every `rescan` seconds, or less often where that takes long; `unknown` tells which of the
    files there need a second look. With `polling` nothing else is done; else the kernel's events tell of files sooner.
    Where `unknown` or `take` raises `trouble`, it is tried again; so it is after any other error, which is a bug.
    `note` is told, under a subject, of what people should know, and None when that is over; `beat` that it goes on.
    """

    def __init__(
        self,
        folders: Sequence[bytes],
        *,
        settle: float,
        rescan: float,
        polling: bool,
        unknown: Callable[[Sequence[tuple[bytes, Identity | None]]], list[bytes]],
        take: Callable[[list[tuple[bytes, Identity]]], object],
        trouble: type[Exception],
        note: Callable[[str, str | None], None],
        beat: Callable[[], None],
    ) -> None:
        self.folders = folders
        self.tracker = Tracker(settle)
        self.failure: Exception | None = None
        self._subject = ", ".join(
            printable(os.path.basename(os.fsdecode(folder))) for folder in folders
        )
        self._polling, self._rescan, self._next_search = polling, rescan, 0.0
        self._unknown, self._take, self._trouble, self._note, self._beat = (
            unknown,
            take,
            trouble,
            note,
            beat,
        )
        self._touched: queue.SimpleQueue[tuple[bytes, bool]] = queue.SimpleQueue()
        self._stop, self._stepping = threading.Event(), threading.Lock()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._events: Events | None = None
        self._unreadable: list[str] = []

    def start(self) -> None:
        """Watch, and search the folders for what is there already."""
        self._thread.start()

    def stop(self) -> None:
        """End its threads."""
        self._stop.set()
        self._thread.join()
        if self._events:
            self._events.stop()

    def at_rest(self) -> bool:
        """Whether the folders were searched, and no file is left that may become whole within the settle time."""
        with self._stepping:
            return (
                self._next_search > 0
                and self._touched.empty()
                and self.tracker.nothing_may_settle()
            )

    def _run(self) -> None:
        while not self._stop.wait(PAUSE if self.failure else BREATH):
            self._woken.wait(min(TICK, self.tracker.next_look() - time.monotonic()))
            self._woken.clear()
            try:
                with self._stepping:
                    self._step(time.monotonic())
            except Exception as error:
                log.exception("watching %s failed, and begins anew", self._subject)
                self._note(f"watching {self._subject}", f"failed ({error}), and is tried again")
                self.failure, self._next_search = error, 0.0
            else:
                if self.failure:
                    self._note(f"watching {self._subject}", None)
                self.failure = None

    def _touch(self, event: tuple[bytes, bool]) -> None:
        self._touched.put(event)
        self._woken.set()

    def _watch(self) -> None:
        """Have the kernel report events, from the start on and where that has ended."""
        ended = self._events.ended() if self._events else None
        if self._events and ended:
            log.warning("file events of %s ended (%s), and are begun anew", self._subject, ended)
            self._events.stop()
            self._events = None
        if self._events is None:
            try:
                self._events = Events(self.folders, self._touch)
            except OSError as error:
                found = f"new files are found by searching, every {self._rescan:g} s"
                self._note(f"events of {self._subject}", f"none ({error.strerror}): {found}")
                return
            self._note(f"events of {self._subject}", None)

    def _step(self, now: float) -> None:
        self._beat()
        while not self._touched.empty():
            touched, closed = self._touched.get()
            for path in self._files(touched):
                self.tracker.touch(path, now, closed=closed)
        if now >= self._next_search:
            if not self._polling:
                self._watch()
            self._search(now)
        whole = self.tracker.whole(now, self._look, open_for_writing)
        while whole:
            try:
                self._take(whole[:BATCH])
            except self._trouble as error:
                log.warning(
                    "files cannot be taken up now, trying again: %s", str(error).partition("\n")[0]
                )
                for path, _ in whole:
                    self.tracker.touch(path, now)
                return
            self._beat()
            whole = whole[BATCH:]

    def _search(self, now: float) -> None:
        self._unreadable, began = [], time.thread_time()
        try:
            for folder in self.folders:
                found = iter(self._files(folder))
                while some := [(path, self._look(path)) for path in islice(found, BATCH)]:
                    self._beat()
                    for path in self._unknown(some):
                        self.tracker.touch(path, now)
        except self._trouble as error:
            log.warning(
                "folders cannot be searched now, trying again: %s", str(error).partition("\n")[0]
            )
            self._stop.wait(TICK)
            return
        self._note(f"searching {self._subject}", "; ".join(self._unreadable[:3]) or None)
        # Looking for moved files among a million may take a twentieth of one processor, and half of a share's time.
        worked, took = time.thread_time() - began, time.monotonic() - now
        self._next_search = now + max(self._rescan, 20 * worked, 2 * took)

    def _files(self, path: bytes) -> Iterator[bytes]:
        """The files at or below `path` that are not left alone. Links are not followed."""
        if path in self.folders or (os.path.isdir(path) and not os.path.islink(path)):
            for folder, _, names in os.walk(path, onerror=self._cannot_read):
                yield from self._candidates(os.path.join(folder, name) for name in names)
        else:
            yield from self._candidates([path])

    def _candidates(self, paths: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
        return (path for path in paths if not is_left_alone(self._relative(path)))

    def _cannot_read(self, error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and error.filename not in self.folders:
            return  # moved or removed while it was searched
        self._unreadable.append(
            f"folder {os.fsdecode(error.filename)} cannot be searched ({error.strerror})"
        )

    def _relative(self, path: bytes) -> bytes:
        return next(path[len(folder) + 1 :] for folder in self.folders if path.startswith(folder))

    def _look(self, path: bytes) -> Identity | None:
        """The file, unless it is only reached through a folder that is a link by now."""
        try:
            identity = identify(path)
            folder = next(folder for folder in self.folders if path.startswith(folder))
            within = os.path.dirname(path)[len(folder) :]
            is_behind_link = (
                os.path.realpath(os.path.dirname(path)) != os.path.realpath(folder) + within
            )
            return None if is_behind_link else identity
        except OSError:  # the next search finds it, when it can be looked at
            return None

"""Finds files in folders, by events and by searching, and hands on those that are whole.

Events are hints, the search is the truth: watchdog loses events when they come too fast. This
module knows nothing of videos.
"""

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from daemon.home.folders import Found, is_left_alone
from daemon.home.identity import Identity, identify, open_for_writing
from daemon.home.texts import printable
from daemon.inbox.events import Events
from daemon.inbox.settling import Tracker

log = logging.getLogger(__name__)

LONGEST_NAP = 0.1  # seconds
SHORTEST_NAP = 0.02  # seconds: a copy causes an event for every block that it writes
BATCH = 200
PAUSE_AFTER_FAILURE = 2.0  # seconds

Unknown = Callable[[Sequence[Found]], list[Found]]
Take = Callable[[Sequence[Found]], object]


@dataclass(frozen=True)
class WatcherSettings:
    """How a watcher works, and what it asks of the daemon around it."""

    settle: float
    """A file is whole if it has not changed for so many seconds."""
    rescan: float
    """Seconds between two searches. A search that takes long is made less often."""
    polling: bool
    """Whether to search only. Else the kernel's events tell of files sooner."""
    unknown: Unknown
    """Which of the files that a search found may be new."""
    take: Take
    """Takes whole files, `BATCH` at a time."""
    trouble: type[Exception]
    """If `unknown` or `take` raises it, they are tried again. Any other error is a bug."""
    note: Callable[[str, str | None], None]
    """Shows a notice under a subject, or takes it back (None)."""
    beat: Callable[[], None]
    """Called as long as the watcher goes on."""


class Watcher:
    """A thread that hands the whole files below `folders` on."""

    def __init__(self, folders: Sequence[bytes], settings: WatcherSettings) -> None:
        self.folders = folders
        self.tracker = Tracker(settings.settle)
        self.failure: Exception | None = None
        self._settings = settings
        names = [os.path.basename(os.fsdecode(folder)) for folder in folders]
        self._subject = ", ".join(map(printable, names))
        self._next_search = 0.0
        self._touched: queue.SimpleQueue[tuple[bytes, bool]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._stepping = threading.Lock()
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
        """Whether a search was made, and no file may become whole within the settle time."""
        with self._stepping:
            has_searched = self._next_search > 0
            return has_searched and self._touched.empty() and self.tracker.all_still_changing()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_AFTER_FAILURE if self.failure else SHORTEST_NAP):
            self._woken.wait(min(LONGEST_NAP, self.tracker.next_look() - time.monotonic()))
            self._woken.clear()
            try:
                with self._stepping:
                    self._step(time.monotonic())
            except Exception as error:
                log.exception("watching %s failed, and is tried again", self._subject)
                text = f"failed ({error}), and is tried again"
                self._settings.note(f"watching {self._subject}", text)
                self.failure = error
                self._next_search = 0.0
            else:
                if self.failure:
                    self._settings.note(f"watching {self._subject}", None)
                self.failure = None

    def _touch(self, event: tuple[bytes, bool]) -> None:
        self._touched.put(event)
        self._woken.set()

    def _watch(self) -> None:
        """Have the kernel report events: at the start, and again if that has ended."""
        ended = self._events.ended() if self._events else None
        if self._events and ended:
            text = "file events of %s ended (%s), and are started again"
            log.warning(text, self._subject, ended)
            self._events.stop()
            self._events = None
        if self._events is None:
            try:
                self._events = Events(self.folders, self._touch)
            except OSError as error:
                how = f"new files are found by searching, every {self._settings.rescan:g} s"
                text = f"none ({error.strerror}): {how}"
                self._settings.note(f"events of {self._subject}", text)
                return
            self._settings.note(f"events of {self._subject}", None)

    def _step(self, now: float) -> None:
        self._settings.beat()
        while not self._touched.empty():
            touched, closed = self._touched.get()
            for path in self._files(touched):
                self.tracker.touch(path, now, closed=closed)
        if now >= self._next_search:
            if not self._settings.polling:
                self._watch()
            self._search(now)
        whole = [Found(*file) for file in self.tracker.whole(now, self._look, open_for_writing)]
        for first in range(0, len(whole), BATCH):
            try:
                self._settings.take(whole[first : first + BATCH])
            except self._settings.trouble as error:
                text = "files cannot be queued now, trying again: %s"
                log.warning(text, _first_line(error))
                for file in whole[first:]:
                    self.tracker.touch(file.path, now)
                return
            self._settings.beat()

    def _search(self, now: float) -> None:
        self._unreadable = []
        began = time.thread_time()
        try:
            for folder in self.folders:
                paths = iter(self._files(folder))
                while batch := list(islice(paths, BATCH)):
                    self._settings.beat()
                    looked = ((path, self._look(path)) for path in batch)
                    found = [Found(path, identity) for path, identity in looked if identity]
                    for file in self._settings.unknown(found):
                        self.tracker.touch(file.path, now)
        except self._settings.trouble as error:
            text = "folders cannot be searched now, trying again: %s"
            log.warning(text, _first_line(error))
            self._stop.wait(LONGEST_NAP)
            return
        notice = "; ".join(self._unreadable[:3]) or None
        self._settings.note(f"searching {self._subject}", notice)
        # Looking for moved files among a million may take a twentieth of one processor, and half of
        # a share's time.
        worked = time.thread_time() - began
        took = time.monotonic() - now
        self._next_search = now + max(self._settings.rescan, 20 * worked, 2 * took)

    def _files(self, path: bytes) -> Iterator[bytes]:
        """The files at or below `path` that are not left alone. Links are not followed."""
        is_folder = os.path.isdir(path) and not os.path.islink(path)
        if path in self.folders or is_folder:
            for folder, _, names in os.walk(path, onerror=self._cannot_read):
                yield from self._candidates(os.path.join(folder, name) for name in names)
        else:
            yield from self._candidates([path])

    def _candidates(self, paths: Iterator[bytes] | list[bytes]) -> Iterator[bytes]:
        return (path for path in paths if not is_left_alone(self._relative(path)))

    def _cannot_read(self, error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and error.filename not in self.folders:
            return  # it was moved or removed during the search
        folder = os.fsdecode(error.filename)
        self._unreadable.append(f"folder {folder} cannot be searched ({error.strerror})")

    def _relative(self, path: bytes) -> bytes:
        return next(path[len(folder) + 1 :] for folder in self.folders if path.startswith(folder))

    def _look(self, path: bytes) -> Identity | None:
        """The file, unless one of the folders above it is a link by now."""
        try:
            identity = identify(path)
            folder = next(folder for folder in self.folders if path.startswith(folder))
            within = os.path.dirname(path)[len(folder) :]
            real = os.path.realpath(os.path.dirname(path))
            is_behind_link = real != os.path.realpath(folder) + within
            return None if is_behind_link else identity
        except OSError:  # the next search finds it, when it can be looked at
            return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

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
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from daemon.home.folders import Found
from daemon.home.identity import (
    Identity,
    Version,
    base_name,
    identify,
    open_for_writing,
    version_of,
)
from daemon.home.left_alone import LeftAlone
from daemon.home.texts import printable, shortened
from daemon.inbox.events import Events
from daemon.inbox.settling import Done, Tracker
from daemon.inbox.unfinished import more_to_come, names_in
from learner.folders import opened_folder, walk

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
    shown_elsewhere: Callable[[Exception], bool]
    """Whether people are told of such trouble by another notice: then it is only logged."""
    note: Callable[[str, str | None], None]
    """Shows a notice under a subject, or takes it back (None)."""
    beat: Callable[[], None]
    """Called as long as the watcher goes on."""
    left_alone: LeftAlone = field(default_factory=LeftAlone)
    """Which files and folders are no clips."""
    subject: str = ""
    """What notices call the folders. Their names, if it is empty."""


class _StoppedError(Exception):
    """The watcher is to end, whatever it is at."""


class Watcher:
    """A thread that hands the whole files below `folders` on."""

    def __init__(self, folders: Sequence[bytes], settings: WatcherSettings) -> None:
        self.folders = folders
        self.tracker = Tracker(settings.settle)
        self.failure: Exception | None = None
        self._settings = settings
        self._left_alone = settings.left_alone
        names = [os.path.basename(os.fsdecode(folder)) for folder in folders]
        self._subject = settings.subject or ", ".join(map(printable, names))
        self._next_search = 0.0
        self._touched: queue.SimpleQueue[tuple[bytes, Done | None]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._stepping = threading.Lock()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._events: Events | None = None
        self._unreadable: list[str] = []
        # Files that wait because of another file, with that file's name.
        self._waiting: dict[bytes, bytes] = {}
        # What lies in folders, sorted, as it was found in this step.
        self._names: dict[bytes, list[bytes]] = {}

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
        # A search may take long: whoever asks must not wait for it.
        if not self._stepping.acquire(timeout=LONGEST_NAP):
            return False
        try:
            has_searched = self._next_search > 0
            return has_searched and self._touched.empty() and self.tracker.all_still_changing()
        finally:
            self._stepping.release()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_AFTER_FAILURE if self.failure else SHORTEST_NAP):
            self._woken.wait(min(LONGEST_NAP, self.tracker.next_look() - time.monotonic()))
            self._woken.clear()
            try:
                with self._stepping:
                    self._step(time.monotonic())
            except _StoppedError:
                return
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

    def _touch(self, event: tuple[bytes, Done | None]) -> None:
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
                self._events = Events(self.folders, self._touch, self.go_on, self._left_alone)
            except OSError as error:
                how = f"new files are found by searching, every {self._settings.rescan:g} s"
                text = f"none ({error.strerror}): {how}"
                self._settings.note(f"events of {self._subject}", text)
                return
            self._settings.note(f"events of {self._subject}", None)

    def go_on(self) -> None:
        """Called for each file and folder that is looked at: a share may take long for each.

        It shows that the watcher goes on. An exception from it ends the watcher: let it pass.
        """
        if self._stop.is_set():
            raise _StoppedError
        self._settings.beat()

    def _step(self, now: float) -> None:
        self.go_on()
        while not self._touched.empty():
            touched, done = self._touched.get()
            for path, _ in self._files(touched):
                self.tracker.touch(path, now, done)
        if now >= self._next_search:
            if not self._settings.polling:
                self._watch()
            self._search(now)
        self._names.clear()
        found = self.tracker.whole(now, self._look, open_for_writing, self._has_more_to_come)
        while whole := [Found(*file) for file in islice(found, BATCH)]:
            try:
                self._settings.take(whole)
            except self._settings.trouble as error:
                text = f"files cannot be queued now, and are tried again ({_first_line(error)})"
                self._note_trouble(f"new files of {self._subject}", text, error)
                for file in whole:
                    self.tracker.touch(file.path, now)
                return
            self._settings.note(f"new files of {self._subject}", None)
            self.go_on()
        self._note_waiting()

    def _search(self, now: float) -> None:
        self._unreadable = []
        began = time.thread_time()
        try:
            for folder in self.folders:
                files = (Found(path, found) for path, found in self._files(folder) if found)
                while batch := list(islice(files, BATCH)):
                    looked_at = time.monotonic()
                    for file in self._settings.unknown(batch):
                        self.tracker.found(file.path, file.identity, looked_at)
                    self.go_on()
            self._settings.unknown([])  # the end: there may have been no file at all
        except self._settings.trouble as error:
            text = f"cannot be done now, and is tried again ({_first_line(error)})"
            self._note_trouble(f"searching {self._subject}", text, error)
            self._stop.wait(LONGEST_NAP)
            return
        notice = "; ".join(self._unreadable[:3]) or None
        self._settings.note(f"searching {self._subject}", notice)
        # Looking for moved files among a million may take a twentieth of one processor, and half of
        # a share's time.
        worked = time.thread_time() - began
        took = time.monotonic() - now
        self._next_search = now + max(self._settings.rescan, 20 * worked, 2 * took)

    def _note_trouble(self, subject: str, text: str, error: Exception) -> None:
        if self._settings.shown_elsewhere(error):
            log.warning("%s: %s", subject, text)
        else:
            self._settings.note(subject, text)

    def _files(self, path: bytes) -> Iterator[tuple[bytes, Identity | None]]:
        """The files at or below `path` that are not left alone. Links are not followed.

        The identity is None if there is no regular file, or if it was not looked for.
        """
        self.go_on()
        base, inner = self._parts(path)
        if not (inner == b"" or (os.path.isdir(path) and not os.path.islink(path))):
            if not (self._left_alone.is_below(inner) or self._left_alone.file(inner)):
                yield path, None
            return
        if inner and self._left_alone.is_below(inner + b"/"):
            return
        walked = walk(base, inner, enter=self._enter, go_on=self.go_on, trouble=self._cannot_read)
        for opened, folder, names in walked:
            for name in names:
                file = os.path.join(folder, name)
                if not self._left_alone.file(file[len(base) + 1 :]):
                    self.go_on()
                    yield file, _identify(name, opened)

    def _enter(self, folder: bytes) -> bool:
        return not self._left_alone.folder(self._parts(folder)[1])

    def _cannot_read(self, error: OSError) -> None:
        if isinstance(error, FileNotFoundError) and error.filename not in self.folders:
            return  # it was moved or removed during the search
        folder = shortened(os.fsdecode(error.filename))
        self._unreadable.append(f"folder {folder} cannot be searched ({error.strerror})")

    def _parts(self, path: bytes) -> tuple[bytes, bytes]:
        """The folder of ours that a path lies in, and the path from there."""
        folder = next(folder for folder in self.folders if path.startswith(folder))
        return folder, path[len(folder) + 1 :]

    def _look(self, path: bytes) -> Version | None:
        """The version of the file, unless one of the folders above it is a link by now."""
        self.go_on()
        base, inner = self._parts(path)
        within, _, name = inner.rpartition(b"/")
        try:
            with opened_folder(base, within) as folder:
                return version_of(name, folder)
        except OSError:  # the next search finds it, when it can be looked at
            return None

    def _has_more_to_come(self, path: bytes, identity: Identity) -> bool:
        """Whether a file beside this one shows that it is not whole."""
        base, inner = self._parts(path)
        within, _, name = inner.rpartition(b"/")
        try:
            with opened_folder(base, within) as folder:
                other = more_to_come(name, identity.size, folder, partial(self._list, path))
        except OSError:  # the file will not be found either
            other = None
        if other is None:
            self._waiting.pop(path, None)
            return False
        self._waiting[path] = other
        return True

    def _list(self, path: bytes, folder: int) -> list[bytes]:
        """The names in the folder that a file lies in, listed once in a step: it may hold many."""
        above = os.path.dirname(path)
        if above not in self._names:
            self._names[above] = names_in(folder)
        return self._names[above]

    def _note_waiting(self) -> None:
        """Show which files wait because of another one: they may wait for ever."""
        waiting = {path: of for path, of in self._waiting.items() if self.tracker.is_tracked(path)}
        self._waiting = waiting
        lines = [
            f"{shortened(os.fsdecode(base_name(path)))} waits until"
            f" {shortened(os.fsdecode(of))} is gone"
            for path, of in list(waiting.items())[:3]
        ]
        self._settings.note(f"unfinished in {self._subject}", "; ".join(lines) or None)


def _identify(name: bytes, folder: int) -> Identity | None:
    try:
        return identify(name, folder)
    except OSError:  # the next search finds it, when it can be looked at
        return None


def _first_line(error: Exception) -> str:
    """What an error says: without the SQL, if it is one of the database."""
    return str(getattr(error, "orig", error)).partition("\n")[0]

"""The kernel's file events below folders.

They end if a thread of watchdog ends, or if a folder is replaced by another one.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

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
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

from daemon.home.left_alone import LeftAlone
from daemon.inbox.settling import Done
from learner.folders import walk

# Without the events of reading: we read a file ourselves, and it would never seem to be at rest.
KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
# A new folder in a new folder is found by its own event, and by the walk through the outer one.
warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning, r"watchdog\.")


class _EndedError(Exception):
    """Nobody waits for the rest of a walk."""


@dataclass(repr=False)  # watchdog makes a text of it for each folder that is watched already
class _Watches(InotifyWatchGroup):
    """Watches on a folder and all in it. However deep folders are nested, it does not recurse."""

    go_on: Callable[[], object] = lambda: None
    """Called for each entry of a folder. An exception from it ends the walk."""
    left_alone: LeftAlone = field(default_factory=LeftAlone)
    """Which folders are not watched."""

    def _add_all_callbacks(self, path: bytes) -> None:
        self._add_callback(path)
        if path != self.path and os.path.islink(path):
            return
        inner = path[len(self.path) + 1 :]
        walked = walk(self.path, inner, enter=self._enter, go_on=lambda: self.go_on())
        with suppress(_EndedError):
            for _ in walked:
                pass

    def _enter(self, folder: bytes) -> bool:
        """Watch a folder before it is read: what is made in it then is seen by one or the other."""
        if self.left_alone.folder(folder[len(self.path) + 1 :]):
            return False
        self._add_callback(folder)
        return True

    def _move_watches(self, move_src_path: bytes, move_dst_path: bytes) -> bool:
        """Give watches their new paths; False, so that all in the folder is watched anew.

        If a folder is moved just after it was made, a folder in it may not be watched yet: it was
        looked for under the old path.
        """
        super()._move_watches(move_src_path, move_dst_path)
        return False

    def _recursive_simulate(self, src_path: bytes) -> list[InotifyEvent]:
        """No events for what is in a new folder: it is searched when its own event comes."""
        return []


class _Emitter(InotifyEmitter):
    """Tells of folders that were made or moved, not of each file in them.

    `go_on` is called while it looks for the folders that are there when it starts.
    """

    def __init__(
        self, *args: Any, go_on: Callable[[], object], left_alone: LeftAlone, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._go_on = go_on
        self._left_alone = left_alone

    def on_thread_start(self) -> None:
        watches = _Watches(
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=True,
            event_mask=self.get_event_mask_from_filter(),
            go_on=self._go_on,
            left_alone=self._left_alone,
        )
        watches.go_on = lambda: None  # from now on it is called in another thread
        self._inotify = watches

    def end(self) -> None:
        """End a walk through new folders that is under way."""
        if isinstance(self._inotify, _Watches):
            self._inotify.go_on = _end

    def build_and_queue_event(
        self, event: GroupedInotifyEvent, *, full_events: bool = False
    ) -> None:
        if isinstance(event, PathedInotifyEvent):
            if event.ev.is_moved_to and event.ev.is_directory:
                self.queue_event(DirCreatedEvent(os.fsdecode(event.path)))
                return
        elif event[0].ev.is_directory:
            source, target = (os.fsdecode(each.path) for each in event)
            self.queue_event(DirMovedEvent(source, target))
            return
        super().build_and_queue_event(event, full_events=full_events)


def _end() -> None:
    raise _EndedError


class Events(FileSystemEventHandler):
    """Calls `touch` for each event below `folders`, in a thread of its own.

    Args:
        folders: They are watched with all folders in them.
        touch: Gets the path, and what the event shows of the file's writer, if anything. A file
            that is moved in from elsewhere counts as created.
        go_on: Called now and then while the folders are looked through that are there already. An
            exception from it ends that.
        left_alone: Which folders are not watched.

    Raises:
        OSError: the kernel has no watches left, or a folder is not there.
    """

    def __init__(
        self,
        folders: Sequence[bytes],
        touch: Callable[[tuple[bytes, Done | None]], None],
        go_on: Callable[[], object],
        left_alone: LeftAlone,
    ) -> None:
        self._touch = touch
        # If a folder is a link, watch the folder that it leads to, not the link itself.
        self._real = {os.path.realpath(folder): folder for folder in folders}
        self._identities = _identities(self._real)
        # Not the instance that watchdog shares: after its thread has died, it makes no new one.
        self._inotify = InotifyFD()
        self._inotify.start()
        self._observer = BaseObserver(
            _Emitter, inotify_fd=self._inotify, go_on=go_on, left_alone=left_alone
        )
        try:
            for folder in self._real:
                name = os.fsdecode(folder)
                self._observer.schedule(self, name, recursive=True, event_filter=KINDS)
            self._observer.start()
        except BaseException:
            self.stop()
            raise

    def ended(self) -> str | None:
        """Why no events come any more; None if they still come."""
        threads = (self._inotify, self._observer, *self._observer.emitters)
        if not all(thread.is_alive() for thread in threads):
            return "the watching thread has ended"
        try:
            changed = _identities(self._real) != self._identities
        except OSError as error:
            return f"a folder cannot be read ({error.strerror})"
        return "a folder was unmounted, mounted or replaced" if changed else None

    def stop(self) -> None:
        """End its threads."""
        # watchdog logs an error when it is stopped.
        logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
        for emitter in self._observer.emitters:
            if isinstance(emitter, _Emitter):
                emitter.end()
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        else:
            self._observer.unschedule_all()
        self._inotify.stop()
        self._inotify.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hand on the path below the folder, which may be a link; called in watchdog's thread."""
        path = os.fsencode(event.dest_path or event.src_path)
        real = next((real for real in self._real if path.startswith(real)), None)
        if real is not None:
            self._touch((self._real[real] + path[len(real) :], _done(event)))


def _done(event: FileSystemEvent) -> Done | None:
    if isinstance(event, FileMovedEvent | DirMovedEvent):
        return "renamed"
    return "closed" if isinstance(event, FileClosedEvent) else None


def _identities(folders: Iterable[bytes]) -> list[tuple[int, int]]:
    return [(info.st_dev, info.st_ino) for info in map(os.stat, folders)]

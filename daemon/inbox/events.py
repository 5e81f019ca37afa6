"""The kernel's file events below folders.

They end if a thread of watchdog ends, or if a folder is replaced by another one.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence

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
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyFD

# Without the events of reading: we read a file ourselves, and it would never seem to be at rest.
KINDS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]
DONE = (FileClosedEvent, FileMovedEvent)


class Events(FileSystemEventHandler):
    """Calls `touch` for each event below `folders`, in a thread of its own.

    Args:
        folders: They are watched with all folders in them.
        touch: Gets the path, and whether the event shows that the file's writer is done: the file
            was closed or renamed. A file that is moved in from elsewhere counts as created.

    Raises:
        OSError: the kernel has no watches left, or a folder is not there.
    """

    def __init__(
        self, folders: Sequence[bytes], touch: Callable[[tuple[bytes, bool]], None]
    ) -> None:
        self._touch = touch
        # If a folder is a link, watch the folder that it leads to, not the link itself.
        self._real = {os.path.realpath(folder): folder for folder in folders}
        self._identities = _identities(self._real)
        # Not the instance that watchdog shares: after its thread has died, it makes no new one.
        self._inotify = InotifyFD()
        self._inotify.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._inotify)
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
            self._touch((self._real[real] + path[len(real) :], isinstance(event, DONE)))


def _identities(folders: Iterable[bytes]) -> list[tuple[int, int]]:
    return [(info.st_dev, info.st_ino) for info in map(os.stat, folders)]

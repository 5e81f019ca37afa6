"""The kernel's file events below folders, for as long as its threads live and the folders are the ones it watches."""

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

# Not the events of reading: our own looks at a file would keep it from ever being at rest.
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
    """Calls `touch` with the path of each event below `folders`, in a thread of its own.

    It is told, too, whether the event says that the file's writer is done: it was closed, or renamed.

    A file that is moved in from elsewhere comes as one that was created.

    Raises:
        OSError: the kernel has no watches left, or a folder is not there.
    """

    def __init__(
        self, folders: Sequence[bytes], touch: Callable[[tuple[bytes, bool]], None]
    ) -> None:
        self._touch = touch
        # A folder that is a link would be watched for changes of the link.
        self._real = {os.path.realpath(folder): folder for folder in folders}
        self._identities = _identities(self._real)
        # Not watchdog's shared one: it is not made anew when its thread has died.
        self._inotify = InotifyFD()
        self._inotify.start()
        self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._inotify)
        try:
            for folder in self._real:
                self._observer.schedule(
                    self, os.fsdecode(folder), recursive=True, event_filter=KINDS
                )
            self._observer.start()
        except BaseException:
            self.stop()
            raise

    def ended(self) -> str | None:
        """Why no events come any more; None where they do."""
        threads = (self._inotify, self._observer, *self._observer.emitters)
        if not all(thread.is_alive() for thread in threads):
            return "the watching thread has ended"
        try:
            changed = _identities(self._real) != self._identities
        except OSError as error:
            return f"a folder cannot be looked at ({error.strerror})"
        return "a folder was unmounted, mounted or replaced" if changed else None

    def stop(self) -> None:
        """End its threads."""
        # It calls its own stopping an error.
        logging.getLogger("watchdog.observers.inotify").setLevel(logging.CRITICAL)
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        else:
            self._observer.unschedule_all()
        self._inotify.stop()
        self._inotify.join()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hand on the path as it is reached through the folder; called in watchdog's thread."""
        path = os.fsencode(event.dest_path or event.src_path)
        real = next((real for real in self._real if path.startswith(real)), None)
        if real is not None:
            self._touch((self._real[real] + path[len(real) :], isinstance(event, DONE)))


def _identities(folders: Iterable[bytes]) -> list[tuple[int, int]]:
    return [(info.st_dev, info.st_ino) for info in map(os.stat, folders)]

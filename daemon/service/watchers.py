"""Builds the two watchers of a home: one queues new files, one reads labels from class folders."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import OperationalError

from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found, placed
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.names import OtherNames
from daemon.home.settings import Settings
from daemon.inbox.watcher import Take, Unknown, Watcher, WatcherSettings
from daemon.labels.class_folders import ClassFolders
from learner.groups import compile_pattern

Note = Callable[[str, str | None], None]


def watchers(
    home: Home,
    settings: Settings,
    queue: Queue,
    arrived: threading.Event,
    note: Note,
    beat: Callable[[str], None],
) -> list[Watcher]:
    """Both watchers, not started yet.

    Args:
        home: The home.
        settings: How long a file settles, how often folders are searched, how groups are named.
        queue: Where new files are queued.
        arrived: Set when there is something to do.
        note: Shows a notice about a subject, or removes it (None).
        beat: Called with "inbox" or "labelled" as long as that watcher goes on.
    """
    pattern = compile_pattern(settings.group_pattern)
    root = os.fsencode(home.root)
    folders_of_home = settings.folders(home.root)
    class_folders = ClassFolders(queue.engine, folders_of_home)
    set_aside = OtherNames(folders_of_home).set_aside

    def grouped(files: Sequence[Found]) -> list[Found]:
        return [placed(file, root, pattern) for file in files]

    def enqueue(files: Sequence[Found]) -> None:
        if queue.enqueue(grouped(files), now()):
            arrived.set()
        for file in queue.other_names(files):
            set_aside(file)

    def notice(files: Sequence[Found]) -> None:
        if class_folders.notice(grouped(files), now()):
            arrived.set()

    def watcher(names: list[str], unknown: Unknown, take: Take) -> Watcher:
        folders = [home.root / name for name in names]
        watcher_settings = WatcherSettings(
            settle=settings.settle_seconds,
            rescan=settings.rescan_seconds,
            polling=_is_polled(folders, settings, note),
            unknown=unknown,
            take=take,
            trouble=OperationalError,
            note=note,
            beat=lambda: beat(names[0]),
        )
        return Watcher([os.fsencode(folder) for folder in folders], watcher_settings)

    return [
        watcher(["inbox"], queue.unknown, enqueue),
        watcher(["labelled", "classified"], class_folders.not_put_by_us, notice),
    ]


def _is_polled(folders: list[Path], settings: Settings, note: Note) -> bool:
    """Whether new files are found only by searching.

    On a network share, the kernel sends no events for what other machines write.
    """
    if settings.watch != "auto":
        return settings.watch == "polling"
    for folder in folders:
        kind = filesystem_of(folder)
        if is_network(kind):
            search = f"new files are found by searching, every {settings.rescan_seconds:g} s"
            reason = f"{folder} is on a network share, {kind}"
            note(f"events of {folder.name}", f"none ({reason}): {search}")
            return True
    return False

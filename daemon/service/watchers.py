"""The two watchers of a home: new files in the inbox are queued, files in class folders are labels."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy.exc import OperationalError

from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders, Found, group_at
from daemon.home.mounts import filesystem_of, is_network
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
        note: Shows a notice under a subject, or takes it back (None).
        beat: Called with "inbox" or "labelled" as long as that watcher goes on.
    """
    pattern = compile_pattern(settings.group_pattern)
    root = os.fsencode(home.root)
    class_folders = ClassFolders(queue.engine, Folders(home.root))

    def grouped(files: Sequence[Found]) -> list[Found]:
        return [file._replace(group=group_at(file.path, root, pattern)) for file in files]

    def enqueue(files: Sequence[Found]) -> None:
        if queue.enqueue(grouped(files), now()):
            arrived.set()

    def notice(files: Sequence[Found]) -> None:
        if class_folders.notice(grouped(files), now()):
            arrived.set()

    def watcher(names: list[str], unknown: Unknown, take: Take) -> Watcher:
        folders = [home.root / name for name in names]
        how = WatcherSettings(
            settle=settings.settle_seconds,
            rescan=settings.rescan_seconds,
            polling=_is_polled(folders, settings, note),
            unknown=unknown,
            take=take,
            trouble=OperationalError,
            note=note,
            beat=lambda: beat(names[0]),
        )
        return Watcher([os.fsencode(folder) for folder in folders], how)

    return [
        watcher(["inbox"], queue.unknown, enqueue),
        watcher(["labelled", "classified"], class_folders.unexplained, notice),
    ]


def _is_polled(folders: list[Path], settings: Settings, note: Note) -> bool:
    """Whether the kernel's events would tell nothing: other machines write there."""
    shares = {folder: kind for folder in folders if is_network(kind := filesystem_of(folder))}
    if settings.watch == "auto" and shares:
        folder, kind = next(iter(shares.items()))
        found = f"new files are found by searching, every {settings.rescan_seconds:g} s"
        note(f"events of {folder.name}", f"none ({folder} is on a network share, {kind}): {found}")
    return settings.watch == "polling" or (settings.watch == "auto" and bool(shares))

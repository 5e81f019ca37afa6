"""Builds the two watchers of a home: one queues new files, one reads labels from class folders."""

import math
import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError, OperationalError

from daemon.database.connection import is_locked
from daemon.database.queue import Queue
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found, placed
from daemon.home.left_alone import LeftAlone
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.names import OtherNames
from daemon.home.settings import Settings
from daemon.inbox.lone_sidecars import LoneSidecars
from daemon.inbox.watcher import Take, Unknown, Watcher, WatcherSettings
from daemon.labels.class_folders import ClassFolders
from learner.groups import compile_pattern

Note = Callable[[str, str | None], None]

# What is cut short, or has no clip beside it, may still be arriving for so many settle times.
PATIENCE = 15
LONGEST_PATIENCE = 240  # seconds


def patience_of(settings: Settings) -> float:
    """For how many seconds more may still come of a file, or to it."""
    return min(PATIENCE * settings.settle_seconds, LONGEST_PATIENCE)


def watchers(
    home: Home,
    settings: Settings,
    queue: Queue,
    arrived: threading.Event,
    note: Note,
    beat: Callable[[str], None],
    *,
    once: bool = False,
) -> list[Watcher]:
    """Both watchers, not started yet.

    Args:
        home: The home.
        settings: How long a file settles, how often folders are searched, how groups are named.
        queue: Where new files are queued.
        arrived: Set when there is something to do.
        note: Shows a notice about a subject, or removes it (None).
        beat: Called with "inbox" or "labelled" as long as that watcher goes on.
        once: Whether the daemon only does what is there. Then nothing waits for a clip to come.
    """
    pattern = compile_pattern(settings.group_pattern)
    left_alone = LeftAlone(settings.ignore)
    root = os.fsencode(home.root)
    folders_of_home = settings.folders(home.root)

    def go_on() -> None:
        of_labels.go_on()

    class_folders = ClassFolders(queue.engine, folders_of_home, go_on)
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

    def watcher(names: list[str], unknown: Unknown, take: Take, patience: float) -> Watcher:
        folders = [home.root / name for name in names]
        subject = f"side files in {', '.join(names)}"
        sidecars = LoneSidecars(
            patience, queue.has_clip, partial(note, subject), lambda: made.go_on()
        )
        watcher_settings = WatcherSettings(
            settle=settings.settle_seconds,
            rescan=settings.rescan_seconds,
            polling=_is_polled(folders, settings, note),
            unknown=lambda files: sidecars.clips(unknown(files) if files else []),
            take=lambda files: take(sidecars.clips(files)),
            trouble=OperationalError,
            shown_elsewhere=_is_locked,
            note=note,
            beat=lambda: beat(names[0]),
            left_alone=left_alone,
        )
        made = Watcher([os.fsencode(folder) for folder in folders], watcher_settings)
        return made

    of_inbox = watcher(["inbox"], queue.unknown, enqueue, 0 if once else patience_of(settings))
    # A person labels clips by folders, never pictures or sounds.
    known = class_folders.not_put_by_us
    of_labels = watcher(["labelled", "classified"], known, notice, math.inf)
    return [of_inbox, of_labels]


def _is_locked(error: Exception) -> bool:
    """Whether it is that another program has locked the database, which a `LockWatch` shows."""
    return isinstance(error, DBAPIError) and is_locked(error)


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

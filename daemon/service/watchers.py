"""Builds the watchers of a home: of the inbox and other sources, and one that reads labels."""

import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError, OperationalError

from daemon.database.connection import is_locked
from daemon.database.queue import Queue
from daemon.home.answering import Answers
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Found
from daemon.home.identity import base_name
from daemon.home.left_alone import LeftAlone
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.names import OtherNames
from daemon.home.settings import Settings
from daemon.home.sources import Source, may_be_video
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
    leads: Callable[[], bool] = lambda: True,
    once: bool = False,
) -> list[Watcher]:
    """All watchers, not started yet: of the inbox, of the class folders, and of each source.

    Args:
        home: The home.
        settings: How long a file settles, how often folders are searched, how groups are named.
        queue: Where new files are queued.
        arrived: Set when there is something to do.
        note: Shows a notice about a subject, or removes it (None).
        beat: Called with "inbox" or "labelled" as long as that watcher goes on.
        leads: Whether this daemon leads still. Else another one watches.
        once: Whether the daemon only does what is there. Then nothing waits for a clip to come.
    """
    pattern = compile_pattern(settings.group_pattern)
    folders = settings.folders(home.root)
    class_folders = ClassFolders(queue.engine, folders, lambda: of_labels.go_on())
    set_aside = OtherNames(folders).set_aside

    def grouped(files: Sequence[Found]) -> list[Found]:
        return [folders.placed(file, pattern) for file in files]

    def enqueue(files: Sequence[Found]) -> int:
        n_new = queue.enqueue(grouped(files), now()) if leads() else 0
        if n_new:
            arrived.set()
        return n_new

    def enqueue_and_tidy(files: Sequence[Found]) -> None:
        # What is new is no other name.
        are_new = enqueue(files) == len(files)
        for file in () if are_new or not leads() else queue.other_names(files):
            set_aside(file)

    def notice(files: Sequence[Found]) -> None:
        if leads() and class_folders.notice(grouped(files), now()):
            arrived.set()

    def made(source: Source, loop: str | None = None) -> Watcher:
        """The watcher of a folder that videos come from."""
        unknown = partial(queue.unknown, stay=source.on_filed is not None)
        place = _Place(
            source.name,
            [source.folder],
            settings.ignore if source.ignore is None else source.ignore,
            0 if once else patience_of(settings),
            (lambda: beat(loop)) if loop else (lambda: None),
        )
        if source.stays:  # what is no video is left alone, too
            place = replace(place, patience=math.inf)
            return _watcher(
                place, settings, queue, note, lambda files: unknown(_videos(files)), enqueue
            )
        take = enqueue if source.on_filed else enqueue_and_tidy
        return _watcher(place, settings, queue, note, unknown, take)

    of_inbox = made(Source(os.fsencode(home.inbox), "inbox", folders.on_filed), "inbox")
    # A person labels clips by folders, never pictures or sounds.
    names = ("labelled", "classified")
    class_folders_place = _Place(
        ", ".join(names),
        [os.fsencode(home.root / name) for name in names],
        settings.ignore,
        math.inf,
        lambda: beat("labelled"),
    )
    known = class_folders.not_put_by_us
    of_labels = _watcher(class_folders_place, settings, queue, note, known, notice)
    return [of_inbox, of_labels, *(made(source) for source in folders.sources)]


@dataclass(frozen=True)
class _Place:
    """What is watched."""

    name: str
    """What notices call it."""
    folders: list[bytes]
    ignore: Sequence[str]
    """Patterns of what is left alone in it."""
    patience: float
    """How many seconds a picture or a sound waits for its clip, before it counts as one."""
    beat: Callable[[], None]
    """Called as long as its watcher goes on."""


def _watcher(
    place: _Place, settings: Settings, queue: Queue, note: Note, unknown: Unknown, take: Take
) -> Watcher:
    subject = f"side files in {place.name}"
    sidecars = LoneSidecars(
        place.patience, queue.has_clip, partial(note, subject), lambda: made.go_on()
    )
    watcher_settings = WatcherSettings(
        settle=settings.settle_seconds,
        rescan=settings.rescan_seconds,
        polling=_is_polled(place, settings, note),
        unknown=lambda files: sidecars.clips(unknown(files) if files else []),
        take=lambda files: take(sidecars.clips(files)),
        trouble=OperationalError,
        shown_elsewhere=_is_locked,
        note=note,
        beat=place.beat,
        left_alone=LeftAlone(place.ignore),
        subject=place.name,
    )
    made = Watcher(place.folders, watcher_settings)
    return made


def _videos(files: Sequence[Found]) -> list[Found]:
    return [file for file in files if may_be_video(base_name(file.path))]


def _is_locked(error: Exception) -> bool:
    """Whether it is that another program has locked the database, which a `LockWatch` shows."""
    return isinstance(error, DBAPIError) and is_locked(error)


def _is_polled(place: _Place, settings: Settings, note: Note) -> bool:
    """Whether new files are found only by searching.

    On a network share, the kernel sends no events for what other machines write.
    """
    if settings.watch != "auto":
        return settings.watch == "polling"
    for path in place.folders:
        folder = Path(os.fsdecode(path))
        try:
            kind = Answers().of(path, partial(filesystem_of, folder))
        except TimeoutError:
            kind = None
        if kind is None or is_network(kind):
            search = f"new files are found by searching, every {settings.rescan_seconds:g} s"
            reason = f"{folder} is on a network share, {kind}" if kind else f"{folder}: no answer"
            note(f"events of {place.name}", f"none ({reason}): {search}")
            return True
    return False

"""The two watchers of a home: what comes into the inbox is queued, what lies in class folders says something."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import OperationalError

from daemon.database.queue import Store
from daemon.database.records import Arrival
from daemon.home.clock import now
from daemon.home.folder import Home
from daemon.home.folders import Folders, group_at
from daemon.home.identity import Identity
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.settings import Settings
from daemon.inbox.watcher import Watcher
from daemon.labels.labels import Labels
from learner.groups import compile_pattern

Note = Callable[[str, str | None], None]


def watchers(
    home: Home,
    settings: Settings,
    store: Store,
    arrived: threading.Event,
    note: Note,
    beat: Callable[[str], None],
) -> list[Watcher]:
    """Both, not begun yet; `arrived` is set when there is something to do."""
    pattern, root = compile_pattern(settings.group_pattern), os.fsencode(home.root)
    labels = Labels(store.engine, Folders(home.root))

    def enqueue(files: list[tuple[bytes, Identity]]) -> None:
        arrivals = [
            Arrival(path, identity, group_at(path, root, pattern)) for path, identity in files
        ]
        if store.enqueue(arrivals, now()):
            arrived.set()

    def notice(files: list[tuple[bytes, Identity]]) -> None:
        if labels.notice([(*file, group_at(file[0], root, pattern)) for file in files], now()):
            arrived.set()

    def watcher(
        names: list[str], unknown: Callable[..., list[bytes]], take: Callable[..., object]
    ) -> Watcher:
        folders = [home.root / name for name in names]
        return Watcher(
            [os.fsencode(folder) for folder in folders],
            settle=settings.settle_seconds,
            rescan=settings.rescan_seconds,
            polling=_is_polled(folders, settings, note),
            unknown=unknown,
            take=take,
            trouble=OperationalError,
            note=note,
            beat=lambda: beat(names[0]),
        )

    return [
        watcher(["inbox"], store.unknown, enqueue),
        watcher(["labelled", "classified"], labels.unexplained, notice),
    ]


def _is_polled(folders: list[Path], settings: Settings, note: Note) -> bool:
    """Whether the kernel's events would tell nothing: other machines write there."""
    shares = {folder: kind for folder in folders if is_network(kind := filesystem_of(folder))}
    if settings.watch == "auto" and shares:
        folder, kind = next(iter(shares.items()))
        found = f"new files are found by searching, every {settings.rescan_seconds:g} s"
        note(f"events of {folder.name}", f"none ({folder} is on a network share, {kind}): {found}")
    return settings.watch == "polling" or (settings.watch == "auto" and bool(shares))

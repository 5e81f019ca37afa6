"""Copies of the database: made while it is written to, and checked; only the newest are kept.

Restores nothing.
"""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.database.copying import copy, ending_of
from daemon.home.address import Database, root_of
from daemon.home.clock import is_waiting
from daemon.home.folder import Home
from daemon.home.settings import Settings
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=10)  # the pause after a backup that could not be made
CLOCKS_DIFFER = timedelta(minutes=1)
YOUNG = 3600  # seconds: an incomplete copy that is younger may still be written
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"vidwatch-(\d{8}T\d{6}Z)\.(db|dump)")


class Backups:
    """Makes a backup whenever one is due; tended every minute or so."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        note: Callable[[str | None], None],
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it; it has made no backup yet.

        Args:
            home: The home.
            settings: Its settings: `backup_hours` and `backups_kept`.
            note: Given the reason if no backup can be made, and None when one was made.
            progress: Called several times a second while a backup is made. An exception from it
                ends that.
        """
        self._home = home
        self._interval = timedelta(hours=settings.backup_hours)
        self._kept = settings.backups_kept
        self._note = note
        self._progress = progress
        self._not_before = datetime.min.replace(tzinfo=UTC)

    def tend(self, now: datetime) -> None:
        """Make a backup if the newest is too old. If that fails, the next try is after `AGAIN`."""
        newest = newest_backup_time(self._home, now)
        is_fresh = newest is not None and now - newest < self._interval
        is_pause = is_waiting(now, self._not_before, AGAIN)
        if not self._interval or is_fresh or is_pause:
            return
        try:
            self.make(now)
            self._note(None)
        except VidwatchError as error:
            self._not_before = now + AGAIN
            self._note(str(error))

    def make(self, now: datetime) -> Path:
        """Make a backup now, and remove the oldest ones, so that only `backups_kept` are left.

        Raises:
            VidwatchError: it cannot be made; none is removed.
        """
        made = back_up(self._home.database, self._home.backups, now, progress=self._progress)
        for old in surplus(self._home.backups, made, self._kept, now):
            try:
                old.unlink()
            except OSError as error:
                log.warning("backup %s cannot be removed: %s", old, error.strerror)
        log.info("backup %s made", made.name)
        return made


def back_up(
    database: Database,
    to: Path,
    now: datetime,
    *,
    is_folder: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Path:
    """Copy the database into a folder, under a name with the time, or to a new file.

    Args:
        database: The database.
        to: The folder or the file.
        now: The time in the name.
        is_folder: Whether `to` is a folder even if it does not exist yet; then it is made.
        progress: As for `copy`.

    Returns:
        The path of the copy.

    Raises:
        VidwatchError: there is such a file, the copy cannot be written, or the database is damaged
            or on a server that cannot be copied.
    """
    target = to
    if is_folder or to.is_dir() or to == root_of(database) / "backups":
        target = to / _name_at(now, database)
        while target.exists():  # another was made within this second
            now += timedelta(seconds=1)
            target = to / _name_at(now, database)
    if target.exists():
        hint = "give another name, or a folder"
        raise VidwatchError(f"backup {target}: there is such a file; {hint}")
    try:
        target.parent.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise VidwatchError(f"backup {target}: {target.parent} is a file, and no folder") from error
    except OSError as error:
        raise VidwatchError(f"backup {target}: cannot be written ({error.strerror})") from error
    copy(database, target, progress)
    return target


def require_kind(source: Path, header: bytes, otherwise: str) -> None:
    """Check that a backup can be read, and begins as those of its kind do.

    Args:
        source: The backup.
        header: How they begin.
        otherwise: What is said of a file that does not.

    Raises:
        VidwatchError: it cannot be read, or is of another kind.
    """
    if source.is_dir():
        raise VidwatchError(f"backup {source} is a folder; name a file in it")
    if not source.is_file():
        raise VidwatchError(f"backup {source}: there is no such file")
    try:
        with source.open("rb") as file:
            begin = file.read(len(header))
    except OSError as error:
        raise VidwatchError(f"backup {source}: cannot be read ({error.strerror})") from error
    if begin != header:
        raise VidwatchError(f"backup {source} {otherwise}; name another one")


def backups_in(folder: Path, now: datetime, ending: str = "") -> list[Path]:
    """The backups in `folder` that we have made, the newest first; those with an ending.

    Those with a time in the future were made while the clock was wrong. They count as the oldest:
    otherwise no other would ever be the newest.
    """
    times = {}
    for path in folder.glob(f"vidwatch-*{ending}"):
        if made := _time_of(path):
            times[path] = made
    return sorted(
        times,
        key=lambda path: (not _is_in_future(times[path], now), times[path]),
        reverse=True,
    )


def newest_backup_time(home: Home, now: datetime) -> datetime | None:
    """When the newest backup was made; None if there is none but those with a future time.

    Copies of a SQLite file are no backups of a server, nor the other way round.
    """
    for path in backups_in(home.backups, now, ending_of(home.database))[:1]:
        made = _time_of(path)
        if made and not _is_in_future(made, now):
            return made
    return None


def surplus(folder: Path, made: Path, kept: int, now: datetime) -> list[Path]:
    """What to remove after `made` was made: all but the newest `kept`, and old incomplete copies.

    Incomplete ones are left when a backup is killed. `made` itself is never among them: it is the
    one of which we know that it is whole.
    """
    others = [path for path in backups_in(folder, now) if path != made]
    parts = [
        *folder.glob(".vidwatch-*.part"),
        # So versions before called them.
        *(part for part in folder.glob("vidwatch-*.db.part") if _NAME.fullmatch(part.stem)),
    ]
    old_parts = [part for part in parts if abs(time.time() - part.stat().st_mtime) > YOUNG]
    return others[kept - 1 :] + old_parts


def _name_at(now: datetime, database: Database) -> str:
    return f"vidwatch-{now.astimezone(UTC).strftime(_STAMP)}{ending_of(database)}"


def _is_in_future(made: datetime, now: datetime) -> bool:
    return made > now + CLOCKS_DIFFER


def _time_of(path: Path) -> datetime | None:
    """The time in a backup's name; None if it has not such a name."""
    name = _NAME.fullmatch(path.name)
    if name is None:
        return None
    try:
        return datetime.strptime(name[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:  # the 31st of February
        return None

"""Copies of the database: made while it is written to, checked, and only so many of them kept. Restores nothing."""

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.database.copying import copy
from daemon.home.folder import Home
from daemon.home.settings import Settings
from learner.errors import VidwatchError

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=10)
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"vidwatch-(\d{8}T\d{6}Z)\.db")


class Backups:
    """Makes a copy whenever one is due; tended every minute or so.

    `note` is told why none can be made, and None when one was.
    """

    def __init__(self, home: Home, settings: Settings, note: Callable[[str | None], None]) -> None:
        self._home, self._every, self._kept = (
            home,
            timedelta(hours=settings.backup_hours),
            settings.backups_kept,
        )
        self._note = note
        self._not_before = datetime.min.replace(tzinfo=UTC)

    def tend(self, now: datetime) -> None:
        """Make a copy where the newest is too old. One that cannot be made is tried again in some minutes."""
        newest = newest_at(self._home.backups, now)
        is_fresh = newest is not None and now - newest < self._every
        # A pause that seems longer was begun before the clock was set back.
        is_pause = now < self._not_before <= now + AGAIN
        if not self._every or is_fresh or is_pause:
            return
        try:
            self.make(now)
            self._note(None)
        except VidwatchError as error:
            self._not_before = now + AGAIN
            self._note(str(error))

    def make(self, now: datetime) -> Path:
        """Make a copy now, and remove the oldest of those that are more than are kept.

        Raises:
            VidwatchError: it cannot be made; none is removed.
        """
        made = back_up(self._home.database, self._home.backups, now)
        for old in surplus(self._home.backups, made, self._kept, now):
            try:
                old.unlink()
            except OSError as error:
                log.warning("backup %s cannot be removed: %s", old, error.strerror)
        log.info("backup %s made", made.name)
        return made


def back_up(database: Path, to: Path, now: datetime, *, is_folder: bool = False) -> Path:
    """Copy the database into the folder `to`, under the name of the time, or to a new file `to`; gives the copy's path.

    With `is_folder`, `to` is made where it is missing.

    Raises:
        VidwatchError: there is such a file, the copy cannot be written, or the database is damaged.
    """
    into_folder = is_folder or to.is_dir() or to == database.parent / "backups"
    target = to / f"vidwatch-{now.astimezone(UTC).strftime(_STAMP)}.db" if into_folder else to
    while into_folder and target.exists():  # another was made within this second
        now += timedelta(seconds=1)
        target = to / f"vidwatch-{now.astimezone(UTC).strftime(_STAMP)}.db"
    if target.exists():
        raise VidwatchError(
            f"backup {target}: there is such a file; give another name, or a folder"
        )
    try:
        target.parent.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise VidwatchError(f"backup {target}: {target.parent} is a file, and no folder") from error
    except OSError as error:
        raise VidwatchError(f"backup {target}: cannot be written ({error.strerror})") from error
    copy(database, target)
    return target


def found(folder: Path, now: datetime) -> list[Path]:
    """The copies in `folder` that we have made, the newest first.

    Those of times to come were made while the clock was wrong: they count as the oldest, or no other would ever be.
    """
    times = {path: stamp for path in folder.glob("vidwatch-*.db") if (stamp := _time_of(path))}
    return sorted(
        times, key=lambda path: (not _is_to_come(times[path], now), times[path]), reverse=True
    )


def newest_at(folder: Path, now: datetime) -> datetime | None:
    """When the newest copy was made; None where there is none, but for those of times to come."""
    made = _time_of(next(iter(found(folder, now)), Path()))
    return made if made and not _is_to_come(made, now) else None


def surplus(folder: Path, made: Path, kept: int, now: datetime) -> list[Path]:
    """The copies to be removed after `made` was: all but the newest `kept`, and what a killed copying left.

    `made` itself is never among them: it is the one of which we know that it is whole.
    """
    others = [path for path in found(folder, now) if path != made]
    parts = [part for part in folder.glob("vidwatch-*.db.part") if _NAME.fullmatch(part.stem)]
    return others[kept - 1 :] + [
        part for part in parts if time.time() - part.stat().st_mtime > 3600
    ]


def _is_to_come(made: datetime, now: datetime) -> bool:
    return made > now + timedelta(minutes=1)


def _time_of(path: Path) -> datetime | None:
    name = _NAME.fullmatch(path.name)
    try:
        return datetime.strptime(name[1], _STAMP).replace(tzinfo=UTC) if name else None
    except ValueError:  # the 31st of February
        return None

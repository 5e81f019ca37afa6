"""A copy of a database, whole at one instant, while others write to it."""

import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from daemon.database.connection import is_damage
from daemon.home.moving import sync_folders
from learner import files
from learner.errors import PassingError, VidwatchError

# Some megabytes at a time, with pauses in which the disk is the daemon's.
PAGES, PAUSE = 1000, 0.01


def copy(source: Path, target: Path) -> None:
    """Copy a database, whole at one instant, while others write to it; it replaces `target` when it is checked.

    Raises:
        VidwatchError: it is damaged; what was at `target` is as it was.
        PassingError: it cannot be read or written now.
    """
    part = files.part_of(target)
    try:
        _require_room(source, target)
        part.unlink(missing_ok=True)
        with part.open("xb") as file:
            _copy_pages(source, part, file.fileno())
            os.fsync(file.fileno())
        part.replace(target)
        sync_folders({os.fsencode(target.parent)})
    except sqlite3.DatabaseError as error:
        part.unlink(missing_ok=True)
        if is_damage(error):
            hint = "copies made before are kept; 'vidwatch check' tells more"
            raise VidwatchError(
                f"database {source} is damaged, and was not copied ({error}); {hint}"
            ) from error
        hint = "is there room, and may this user read and write? Copies made before are kept"
        raise PassingError(
            f"{target}: the database cannot be copied to it ({error}); {hint}"
        ) from error
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PassingError(
            f"{target}: the database cannot be copied to it ({error.strerror})"
        ) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _copy_pages(source: Path, part: Path, descriptor: int) -> None:
    """By SQLite's own backup; raises `sqlite3.DatabaseError` where what was read does not hang together."""

    def after_some(*_: int) -> None:
        os.fdatasync(descriptor)  # all at the end, it held up the daemon's own writing for seconds
        time.sleep(PAUSE)

    reading = f"file:{quote(str(source))}?mode=ro"
    with (
        closing(sqlite3.connect(reading, uri=True, isolation_level=None, timeout=30)) as original,
        closing(sqlite3.connect(part, isolation_level=None)) as copied,
    ):
        # Without a snapshot of its own, the copying begins anew after each write of another process: under a daemon at
        # work it never ended. In WAL mode, one that reads keeps no one from writing.
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        copied.execute("PRAGMA journal_mode = OFF")
        copied.execute("PRAGMA synchronous = OFF")  # that is done here
        original.backup(copied, pages=PAGES, progress=after_some)
        copied.execute(
            "PRAGMA journal_mode = DELETE"
        )  # a single file, that can be read where nothing can be written
        said = copied.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise _damaged(said)


def _damaged(said: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(said.splitlines()[-1])
    error.sqlite_errorname = "SQLITE_CORRUPT"
    return error


def _require_room(source: Path, target: Path) -> None:
    """A copy that fills the disk would stop the daemon's own writing before it fails."""
    needed = sum(
        path.stat().st_size
        for path in (source, source.with_name(source.name + "-wal"))
        if path.exists()
    )
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise PassingError(
            f"{target}: no room for a copy of the database: it needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB "
            "are free; copies made before are kept"
        )

"""Copies a database while others write to it.

Of a server, `dumps.py` makes the copy; here it gets its name once it is whole.
"""

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from daemon.database import dumps
from daemon.database.holder import holder
from daemon.database.schemas import schema_in_use
from daemon.database.sqlite import LOCKED, is_damage
from daemon.home.address import Database, Server
from daemon.home.moving import sync_folders
from learner.errors import PassingError, VidwatchError
from learner.folders import create_in, new_name, opened_folder

# After so many pages (some megabytes), a pause of so many seconds lets the daemon use the disk.
PAGES = 1000
PAUSE = 0.01
STEPS = 100_000  # of SQLite's machine between two calls of `progress`: a few milliseconds


def ending_of(database: Database) -> str:
    """How the names of a database's copies end."""
    return dumps.ENDING if isinstance(database, Server) else ".db"


def copy(source: Database, target: Path, progress: Callable[[], None] = lambda: None) -> None:
    """Copy a database while others write to it. The copy is the state of one instant.

    The copy is checked before it replaces `target`.

    Args:
        source: The database.
        target: Where the copy is to be.
        progress: Called several times a second. An exception from it ends the copying.

    Raises:
        VidwatchError: the database is damaged, or pg_dump is missing; `target` is unchanged.
        PassingError: it cannot be read, or the copy cannot be written, now.
    """
    part = target.with_name(new_name())
    try:
        _require_room(source, target)
        with opened_folder(target.parent) as folder:
            descriptor = create_in(folder, part.name)
        with os.fdopen(descriptor, "wb"):
            if isinstance(source, Server):
                _dump(source, part, descriptor, progress)
            else:
                _copy_pages(source, part, descriptor, progress)
            os.fsync(descriptor)
        part.replace(target)
        sync_folders({os.fsencode(target.parent)})
    except sqlite3.DatabaseError as error:
        part.unlink(missing_ok=True)
        raise _explained(error, Path(str(source)), target) from error
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = error.strerror
        raise PassingError(f"{target}: the database cannot be copied to it ({reason})") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _dump(server: Server, part: Path, descriptor: int, progress: Callable[[], None]) -> None:
    dumps.write(server, schema_in_use(server), descriptor, progress)
    if problem := dumps.problem_of(part, progress):
        raise PassingError(f"database {server}: its copy is not whole ({problem}); try again")


def _explained(error: sqlite3.DatabaseError, source: Path, target: Path) -> VidwatchError:
    if is_damage(error):
        trouble = f"database {source} is damaged, and was not copied ({error})"
        hint = "copies made before are kept; 'vidwatch check' shows what is wrong"
        return VidwatchError(f"{trouble}; {hint}")
    if getattr(error, "sqlite_errorname", "").startswith(LOCKED):
        trouble = f"database {source} is in use by {holder(source)}, and was not copied"
        return PassingError(f"{trouble}; try again; copies made before are kept")
    trouble = f"{target}: the database cannot be copied to it ({error})"
    hint = "is there room, and may this user read and write? Copies made before are kept"
    return PassingError(f"{trouble}; {hint}")


def _copy_pages(source: Path, part: Path, descriptor: int, progress: Callable[[], None]) -> None:
    """Copy with SQLite's own backup into `part`, which is open as `descriptor`.

    Raises:
        sqlite3.DatabaseError: the copy is not consistent, or cannot be made.
        OSError: another file took the place of `part`.
    """

    def after_some_pages(*_: int) -> None:
        # Synced only at the end, it held up the daemon's own writing for seconds.
        os.fdatasync(descriptor)
        progress()
        time.sleep(PAUSE)

    address = f"file:{quote(os.fsencode(source))}?mode=ro"
    with (
        closing(sqlite3.connect(address, uri=True, isolation_level=None, timeout=30)) as original,
        closing(sqlite3.connect(part, isolation_level=None)) as copied,
    ):
        # In a transaction, the backup reads one snapshot. Without it, the backup begins again after
        # each write of another process: while a daemon worked, it never ended. In WAL mode, a
        # reader does not keep others from writing.
        original.execute("BEGIN")
        original.execute("SELECT count(*) FROM sqlite_master").fetchone()
        copied.execute("PRAGMA journal_mode = OFF")
        copied.execute("PRAGMA synchronous = OFF")  # `after_some_pages` and `copy` sync
        copied.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the file
        _require_open(descriptor)
        original.backup(copied, pages=PAGES, progress=after_some_pages)
        # The copy is then a single file, and can be read where nothing can be written.
        copied.execute("PRAGMA journal_mode = DELETE")
        result = _quick_check(copied, progress)
        if result != "ok":
            raise _damaged(result)


def _require_open(descriptor: int) -> None:
    """Check that SQLite has opened the file that we made, which it opens by its path.

    Raises:
        OSError: it has opened another one: somebody has put a link or a file in its place.
    """
    ours = os.fstat(descriptor)
    opened = 0
    for path in Path("/proc/self/fd").iterdir():
        try:
            opened += os.path.samestat(os.fstat(int(path.name)), ours)
        except OSError:  # closed meanwhile
            continue
    if opened < 2:
        raise OSError(errno.ESTALE, "another file was put in the place of the copy")


def _quick_check(copied: sqlite3.Connection, progress: Callable[[], None]) -> str:
    """What SQLite finds wrong in the copy, or "ok". An exception from `progress` ends it."""
    ended_by: list[BaseException] = []

    def on_the_way() -> int:
        try:
            progress()
        except BaseException as error:  # SQLite would only print it
            ended_by.append(error)
        return len(ended_by)

    copied.set_progress_handler(on_the_way, STEPS)
    try:
        return str(copied.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError:
        if ended_by:
            raise ended_by[0] from None
        raise
    finally:
        copied.set_progress_handler(None, 0)


def _damaged(result: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(result.splitlines()[-1])
    error.sqlite_errorname = "SQLITE_CORRUPT"
    return error


def _require_room(source: Database, target: Path) -> None:
    """Check that there is room for a copy; on a server, for one as large as that made before.

    Without room, the copy would fill the disk before it fails, and stop the daemon's own writing.
    """
    if isinstance(source, Server):
        before = target.parent.glob(f"*{dumps.ENDING}")
        needed = max((path.stat().st_size for path in before), default=0)
    else:
        parts = [source, source.with_name(source.name + "-wal")]
        needed = sum(path.stat().st_size for path in parts if path.exists())
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        sizes = f"it needs {needed / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free"
        raise PassingError(
            f"{target}: no room for a copy of the database: {sizes}; copies made before are kept"
        )

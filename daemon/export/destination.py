"""Where an export goes: a file, a new file in a folder, a folder, or the standard output.

What is not whole never has the final name.
"""

import errno
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from daemon.home.folder import FOLDERS, PASSING, Home
from daemon.home.moving import sync_folders
from learner.errors import PassingError, VidwatchError
from learner.folders import create_in, new_name, opened_folder

PIECE = 2**20  # bytes


def require_free(target: Path, home: Home, sources: Iterable[Path] = ()) -> Path:
    """The place of a file or folder to be written, without links.

    Args:
        target: The place that a person asks for.
        home: The home.
        sources: Folders whose files are taken for videos, beside those of the home.

    Raises:
        VidwatchError: its folder is missing, it is something else than a file or a folder, or the
            daemon uses that place itself.
    """
    place = _real(target.expanduser())
    if not place.parent.is_dir():
        raise VidwatchError(f"{target}: there is no folder {place.parent}; make it first")
    if place.exists() and not (place.is_file() or place.is_dir()):
        raise VidwatchError(f"{target} is neither a file nor a folder; choose another name")
    own = [home.root / name for name in FOLDERS]
    own += [home.backups, home.logs, home.trash, home.root / ".exports"]
    # Each of them may be a link to another disk.
    is_own = any(place.is_relative_to(_real(folder)) for folder in own)
    if is_own or home.root in (place, place.parent):
        where = "vidwatch keeps its own files there"
        raise VidwatchError(f"{target}: {where}; write to a folder outside of {home.root}")
    if source := next((one for one in sources if place.is_relative_to(_real(one))), None):
        raise VidwatchError(f"{target}: {source} is a source of videos; write to another folder")
    return place


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def new_file_in(folder: Path, ending: str) -> Path:
    """The path of a new file in a folder, named by the time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return folder / f"vidwatch-{stamp}.{ending}"


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A hidden file beside `target`, which takes its place if the context ends without an error.

    Raises:
        VidwatchError: it cannot be written. What was at `target` is as it was.
        PassingError: it cannot be written now, for example since the disk is full.
    """
    part = target.with_name(new_name("export-"))
    with _explained(target):
        try:
            with opened_folder(target.parent) as folder:
                os.close(create_in(folder, part.name))
            yield part
            _sync(part)
            part.replace(target)
            sync_folders({os.fsencode(target.parent)})
        finally:
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(target: Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """A hidden folder beside `target`, as `new_file`.

    Args:
        target: The folder.
        is_ours: Whether a folder holds nothing but an earlier export.

    Raises:
        VidwatchError: there is a file, or a folder that is no export; else as `new_file`.
        PassingError: as `new_file`.
    """
    with _explained(target):
        is_free = not target.exists() or (target.is_dir() and is_ours(target))
    if not is_free:
        hint = "choose another name for a folder, or one that ends in .zip"
        raise VidwatchError(f"{target} is there, and is no export of vidwatch: {hint}")
    part = target.with_name(new_name("export-"))
    before = target.with_name(new_name("before-"))
    with _explained(target):
        try:
            part.mkdir()
            yield part
            for file in part.iterdir():
                _sync(file)
            if target.exists():
                target.rename(before)
            try:
                part.rename(target)
            except BaseException:
                if before.exists():
                    before.rename(target)
                raise
            sync_folders({os.fsencode(target), os.fsencode(target.parent)})
        finally:
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(before, ignore_errors=True)


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """A file whose content goes to the standard output when the context has ended.

    While the database is read, its log (WAL) cannot be emptied. A pipe may stand still for as long
    as it likes, a file does not. So nothing waits for a pipe while the database is read.
    """
    output = sys.stdout.buffer
    if stat.S_ISREG(os.fstat(output.fileno()).st_mode):
        with _explained(Path("the standard output")):
            yield output
            output.flush()
        return
    with _explained(Path(tempfile.gettempdir())), tempfile.TemporaryFile() as spool:
        yield spool
        spool.seek(0)
        try:
            shutil.copyfileobj(spool, output, PIECE)
            output.flush()
        except BrokenPipeError:  # such as `vidwatch export | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    as_it_was = "nothing was exported"
    try:
        yield
    except OSError as error:
        kind = PassingError if error.errno in (*PASSING, errno.EFBIG) else VidwatchError
        reason = error.strerror or str(error)
        raise kind(f"{target}: cannot be written ({reason}); {as_it_was}") from error
    except sqlite3.Error as error:
        raise PassingError(f"{target}: cannot be written ({error}); {as_it_was}") from error


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

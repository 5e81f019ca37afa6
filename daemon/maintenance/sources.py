"""Whether the daemon can use the sources and archives of a home."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.home.source_tables import require_apart
from daemon.home.sources import Source
from daemon.maintenance.finding import Line
from learner.errors import VidwatchError

SUBJECT = "sources"
AS_A_SERVICE = "deploy/README.md says what a service needs for that"


def check_sources(home: Home, loaded: Settings) -> Iterator[Line]:
    """Whether each source is there, and what is to be done with its files can be done."""
    try:
        require_apart(home.root, loaded.source)
    except VidwatchError as error:
        yield Line(SUBJECT, "problem", str(error))
    problems = [problem for source in loaded.sources for problem in _problems(home, source)]
    inbox = Source(os.fsencode(home.inbox), "inbox", loaded.folders(home.root).on_filed)
    problems += _link_problems(home, inbox)
    yield from (Line(SUBJECT, "problem", problem) for problem in problems)
    if loaded.sources and not problems:
        names = ", ".join(source.name for source in loaded.sources)
        yield Line(SUBJECT, "ok", f"all are there: {names}")


def _problems(home: Home, source: Source) -> Iterator[str]:
    folder = Path(os.fsdecode(source.folder))
    where = f"{folder} of {source.name!r}"
    if source.model is not None:
        try:
            home.manifest(source.model)
        except VidwatchError as error:
            yield f"model of {source.name!r}: {error}; 'vidwatch models' lists the models"
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        yield f"{where} cannot be read ({error.strerror}): mount it, or let this user read it"
        return
    if source.on_filed is None:
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".vidwatch-doctor-"):
                pass
        except OSError as error:
            hint = f"let this user write there, or set in_place = true; {AS_A_SERVICE}"
            yield f"{where}: files cannot be moved from it ({error.strerror}); {hint}"
    yield from _link_problems(home, source)


def _link_problems(home: Home, source: Source) -> Iterator[str]:
    """Whether hard links can be made, if they are wanted."""
    if source.on_filed != "hardlink":
        return
    folder = Path(os.fsdecode(source.folder))
    classified = home.root / "classified"
    try:
        is_one_disk = folder.stat().st_dev == classified.stat().st_dev
    except OSError:
        return  # another line says so
    if not is_one_disk:
        hint = 'set on_filed to "copy"'
        yield f"{folder} and {classified} are on two disks: no file can be linked; {hint}"

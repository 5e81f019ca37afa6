"""Whether a machine and a home are fit for vidwatch: in plain words, with what to do.

Repairs nothing. What is checked of the machine alone is in `machine.py`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine

from daemon.database.connection import explaining, opened
from daemon.database.copying import ending_of
from daemon.database.daemons import running_elsewhere
from daemon.database.integrity import damage
from daemon.home import settings
from daemon.home.address import Server
from daemon.home.clock import local_time, now
from daemon.home.folder import FOLDERS, Home
from daemon.home.links import links_in
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.receivers import Command
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.labels.odd_names import odd_names
from daemon.labels.unknown_classes import named_classes, unknown_classes
from daemon.maintenance.backup import newest_backup_time
from daemon.maintenance.finding import Line
from daemon.maintenance.machine import (
    check_clock,
    check_device,
    check_file_events,
    check_open_files,
    list_versions,
)
from daemon.maintenance.network import check_network
from daemon.maintenance.server import check_server
from daemon.maintenance.sources import check_sources
from daemon.report.status import counts
from daemon.training.decisions import Decisions
from daemon.training.job import require_recipe
from learner.errors import VidwatchError
from learner.texts import counted

HOW_TO_FREE_SPACE = (
    "take classified clips away, empty duplicates/ and failed/, "
    "or set min_free_gigabytes lower in vidwatch.toml"
)


def examine(home: Home) -> Iterator[Line]:
    """Check everything, one thing after the other.

    Raises:
        VidwatchError: there is no home.
    """
    home.require()
    yield from _check_daemon(home)
    loaded = Settings()
    try:
        loaded = settings.load(home.settings)
        require_recipe(loaded.retrain)
        yield Line("settings", "ok", f"{home.settings} is valid")
    except VidwatchError as error:
        yield Line("settings", "problem", str(error))
    yield from _check_commands(home, loaded)
    yield from _check_folders(home)
    yield from check_sources(home, loaded)
    yield from _check_space(home, loaded)
    yield from _check_filesystems(home, loaded)
    yield from check_file_events(home)
    yield from check_open_files()
    yield from check_clock(home)
    yield from _check_database(home)
    yield from _check_names(home, loaded)
    for problem in links_in(home.root):
        yield Line("links", "warning", problem)
    yield from _check_backup(home, loaded)
    yield from check_network(home, loaded)
    yield from check_device(loaded)
    yield from _check_models(home, loaded)
    yield from list_versions()


def _check_daemon(home: Home) -> Iterator[Line]:
    running = home.running()
    if running is None:
        yield _not_here(home)
        return
    text = f"running, process {running.pid}, since {local_time(running.since)}"
    yield Line("daemon", "ok", text)
    for subject, notice in running.notices.items():
        yield Line("daemon", "warning", f"{subject}: {notice}")


def _not_here(home: Home) -> Line:
    """What there is to say if no daemon runs on this machine."""
    start = "start it: vidwatch run, or its service"
    if not isinstance(home.database, Server):
        return Line("daemon", "warning", f"not running; {start}")
    try:
        machines = running_elsewhere(home)
    except VidwatchError:
        unknown = "the server of the database, which knows of the others, cannot be asked"
        return Line("daemon", "warning", f"none is known to run: {unknown}")
    if machines:
        where = ", ".join(machines)
        return Line("daemon", "ok", f"none runs on this machine, but on others: {where}")
    return Line("daemon", "warning", f"not running on any machine; {start}")


def _check_commands(home: Home, loaded: Settings) -> Iterator[Line]:
    """Whether the programs that are told of events can be run."""
    for name, receiver in loaded.receivers.items():
        if isinstance(receiver, Command) and (problem := receiver.why_not_run(home.root)):
            hint = f"give the whole path of a program, or remove the setting {name}"
            yield Line("settings", "problem", f"{name}: {problem}; {hint}")


def _check_folders(home: Home) -> Iterator[Line]:
    """Whether this user can write: by a try, since not only missing rights prevent it."""
    is_wrong = False
    for folder in _folders(home):
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".vidwatch-doctor-"):
                pass
        except OSError as error:
            is_wrong = True
            problem = f"{folder}: no file can be made and removed ({error.strerror})"
            hint = "let the daemon's user write there, and run this as that user"
            yield Line("folders", "problem", f"{problem}; {hint}")
    if not is_wrong:
        yield Line("folders", "ok", "this user can make and remove files in all of them")


def _check_space(home: Home, loaded: Settings) -> Iterator[Line]:
    least = loaded.min_free_gigabytes * GIGABYTE
    for folder in _disks(home).values():
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Line("space", "problem", f"{folder}: {error.strerror}")
            continue
        text = f"{free / GIGABYTE:.1f} GB are free on the disk of {folder}"
        if free < least:
            rule = f"no new clips are classified below {loaded.min_free_gigabytes:g} GB"
            yield Line("space", "problem", f"{text}; {rule}; {HOW_TO_FREE_SPACE}")
        elif free < 2 * least:
            rule = f"{loaded.min_free_gigabytes:g} GB are the least"
            yield Line("space", "warning", f"{text}, and {rule}; {HOW_TO_FREE_SPACE}")
        else:
            yield Line("space", "ok", text)
        inodes = os.statvfs(folder)
        if inodes.f_files and inodes.f_favail < inodes.f_files / 100:
            text = f"the disk of {folder} has room for only {counted(inodes.f_favail, 'more file')}"
            yield Line("space", "warning", text)


def _folders(home: Home) -> list[Path]:
    return [home.root, *(home.root / name for name in FOLDERS)]


def _disks(home: Home) -> dict[int, Path]:
    """The disks that the home's folders lie on, each with the first folder on it."""
    disks: dict[int, Path] = {}
    for folder in _folders(home):
        if folder.is_dir():
            disks.setdefault(folder.stat().st_dev, folder)
    return disks


def _check_filesystems(home: Home, loaded: Settings) -> Iterator[Line]:
    kind = filesystem_of(home.root)
    if is_network(kind) and isinstance(home.database, Path):
        problem = "the database would be damaged sooner or later"
        hint = "put the home on a disk of this machine"
        text = f"the home is on {kind}, a network file system; {problem}: {hint}"
        yield Line("file system", "problem", text)
    else:
        yield Line("file system", "ok", f"the home is on {kind}")
    kind_of_inbox = filesystem_of(home.inbox)
    if is_network(kind_of_inbox):
        text = f"it is on {kind_of_inbox}, where the kernel reports no new files"
        text += ": the folder is searched every few seconds instead (polling)"
        if loaded.watch == "events":
            yield Line("inbox", "problem", f'{text}; set watch to "auto"')
        else:
            yield Line("inbox", "ok", text)
    if len(_disks(home)) > 1:
        problem = "clips are copied from one to the other, not just renamed"
        hint = "have inbox/, classified/ and the others on one disk"
        text = f"the home's folders are on several disks: {problem}; {hint}"
        yield Line("file system", "warning", text)


def _check_database(home: Home) -> Iterator[Line]:
    database = home.database
    if isinstance(database, Path):
        problem = _why_unusable(database)
    else:
        problem = None
        yield from check_server(database)
    if problem:
        yield Line("database", "problem", problem)
        return
    try:
        with opened(database, read_only=True) as engine, engine.begin() as connection:
            count = counts(connection)
        runs = bool(home.running() or running_elsewhere(home))
    except VidwatchError as error:
        if isinstance(database, Path):  # of a server, that was said
            yield Line("database", "problem", str(error))
        return
    state = "is whole" if isinstance(database, Path) else "can be read"
    yield Line("database", "ok", f"{database} {state}: {counted(count['filed'], 'video')} filed")
    unfinished = sum(count[state] for state in ("waiting", "queued", "claimed", "classified"))
    if unfinished and not runs:
        yield Line("videos", "warning", f"{unfinished} wait for a prediction, and no daemon runs")
    if count["failed"]:
        text = f"{count['failed']} could not be classified"
        hint = "'vidwatch status' and the texts in failed/ say why"
        yield Line("videos", "warning", f"{text}: {hint}")


def _why_unusable(database: Path) -> str | None:
    hint = "'vidwatch restore' brings the newest backup back"
    try:
        if not database.stat().st_size:
            return f"{database} is empty; {hint}"
        with explaining(database):
            problems = damage(database)
    except VidwatchError as error:
        return str(error)
    except OSError as error:
        return f"{database}: {error.strerror}; run this as the daemon's user"
    return f"{database} is damaged ({'; '.join(problems)}); {hint}" if problems else None


def _check_names(home: Home, loaded: Settings) -> Iterator[Line]:
    """Class folders that give no label, classes that look the same, unknown ones in settings."""
    problems: list[Line] = []
    # A database that cannot be read is a problem of its own.
    with suppress(VidwatchError), opened(home.database, read_only=True) as engine:
        problems = [*_odd_names(engine, home, loaded)]
    yield from problems


def _odd_names(engine: Engine, home: Home, loaded: Settings) -> Iterator[Line]:
    with engine.begin() as connection:
        for problem in odd_names(connection, home.root):
            yield Line("labels", "warning", problem)
        for setting, names in named_classes(loaded).items():
            for problem in unknown_classes(connection, names):
                yield Line("settings", "warning", f"setting '{setting}': {problem}")


def _check_backup(home: Home, loaded: Settings) -> Iterator[Line]:
    made = newest_backup_time(home, now())
    if made is None:
        yield _no_backup(home, loaded)
        return
    hours = (now() - made).total_seconds() / 3600
    text = f"the newest is {hours:.0f} hours old"
    if loaded.backup_hours and hours > 2 * loaded.backup_hours:
        hint = f"backup_hours is {loaded.backup_hours:g}: does the daemon run?"
        yield Line("backup", "warning", f"{text}, and {hint}")
    else:
        yield Line("backup", "ok", text)


def _no_backup(home: Home, loaded: Settings) -> Line:
    text = "there is none yet"
    if others := sorted(home.backups.glob(f"before-upgrade-*{ending_of(home.database)}")):
        text += f", but for {others[-1].name} (vidwatch restore takes it if you name it)"
    if loaded.backup_hours:
        text += "; the daemon makes them"
    else:
        text += "; backup_hours is 0: none is made by itself"
    return Line("backup", "warning", f"{text}, 'vidwatch backup' makes one now")


def _check_models(home: Home, loaded: Settings) -> Iterator[Line]:
    """Whether the champion and the model of the settings can be loaded, and know all classes."""
    from learner import checkpoint

    names = {loaded.model}
    # A database that cannot be read is a problem of its own.
    with suppress(VidwatchError), opened(home.database, read_only=True) as engine:
        names.add(Decisions(engine).champion() or loaded.model)
    known = set[str]()
    for name in sorted(names):
        try:
            classes = checkpoint.load(home.model_or_starter(name)).manifest.classes
            yield Line("model", "ok", f"{name} can be loaded: {len(classes)} classes")
            known.update(classes)
        except VidwatchError as error:
            yield Line("model", "problem", f"{error}; 'vidwatch models' lists those there are")
    if known and (unknown := loaded.unknown_thresholds(known)):
        problem = f"thresholds: no model in use knows a class {', '.join(unknown)}"
        hint = f"is it misspelt? Known are {', '.join(sorted(known))}"
        yield Line("settings", "warning", f"{problem}; {hint}")

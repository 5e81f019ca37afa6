"""Whether a machine and a home are such that vidwatch can work well: plain words, with what to do. Mends nothing."""

import os
import platform
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import DatabaseError

from daemon.database.connection import opened
from daemon.database.integrity import damage
from daemon.home import settings
from daemon.home.clock import now
from daemon.home.folder import FOLDERS, Home
from daemon.home.mounts import filesystem_of, is_network
from daemon.home.settings import Settings
from daemon.home.space import GIGABYTE
from daemon.maintenance.backup import newest_at
from daemon.report.status import counts
from daemon.training.decisions import Decisions
from learner.errors import VidwatchError

INOTIFY = Path("/proc/sys/fs/inotify")
FILES = 1024  # that the daemon may have open: a log, the database, decoders and what they read
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "av",
    "opencv-python-headless",
    "sqlalchemy",
    "numpy",
    "watchdog",
)
ROOM = "take answered clips away, empty duplicates/ and failed/, or set min_free_gigabytes lower in vidwatch.toml"
AHEAD = (
    3600  # seconds that a file may be dated in the future by a camera or a share whose clock is off
)


@dataclass(frozen=True)
class Line:
    """What was looked at, how it is, and what to do about it."""

    subject: str
    state: Literal["ok", "warning", "problem"]
    said: str

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return asdict(self)


def examine(home: Home) -> Iterator[Line]:
    """Look at everything, one thing after the other.

    Raises:
        VidwatchError: there is no home.
    """
    home.require()
    yield from _daemon(home)
    loaded = Settings()
    try:
        loaded = settings.load(home.settings)
        yield Line("settings", "ok", f"{home.settings} is valid")
    except VidwatchError as error:
        yield Line("settings", "problem", str(error))
    yield from _folders(home)
    yield from _space(home, loaded)
    yield from _filesystems(home, loaded)
    yield from _inotify(home)
    yield from _open_files()
    yield from _clock(home)
    yield from _database(home)
    yield from _backup(home, loaded)
    yield from _device(loaded)
    yield from _model(home, loaded)
    yield from _versions()


def _daemon(home: Home) -> Iterator[Line]:
    running = home.running()
    if running is None:
        yield Line("daemon", "warning", "not running; start it: vidwatch run, or its service")
        return
    yield Line(
        "daemon", "ok", f"running, process {running.pid}, since {running.since:%Y-%m-%d %H:%M} UTC"
    )
    for subject, told in running.notices.items():
        yield Line("daemon", "warning", f"{subject}: {told}")


def _folders(home: Home) -> Iterator[Line]:
    """Whether this user may write: asked of the file system, since rights are not all that stands in the way."""
    wrong = 0
    for folder in (home.root, *(home.root / name for name in FOLDERS)):
        try:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".vidwatch-doctor-"):
                pass
        except OSError as error:
            wrong += 1
            hint = "let the daemon's user write there, and run this as that user"
            yield Line(
                "folders",
                "problem",
                f"{folder}: no file can be made and removed ({error.strerror}); {hint}",
            )
    if not wrong:
        yield Line("folders", "ok", "this user can make and remove files in all of them")


def _space(home: Home, loaded: Settings) -> Iterator[Line]:
    least = loaded.min_free_gigabytes * GIGABYTE
    for folder in _disks(home).values():
        try:
            free = shutil.disk_usage(folder).free
        except OSError as error:
            yield Line("space", "problem", f"{folder}: {error.strerror}")
            continue
        said = f"{free / GIGABYTE:.1f} GB are free on the disk of {folder}"
        if free < least:
            hint = f"no clips are taken up below {loaded.min_free_gigabytes:g} GB; {ROOM}"
            yield Line("space", "problem", f"{said}; {hint}")
        elif free < 2 * least:
            least_of_all = f"{loaded.min_free_gigabytes:g} GB are the least"
            yield Line("space", "warning", f"{said}, and {least_of_all}; {ROOM}")
        else:
            yield Line("space", "ok", said)
        inodes = os.statvfs(folder)
        if inodes.f_files and inodes.f_favail < inodes.f_files / 100:
            yield Line(
                "space",
                "warning",
                f"the disk of {folder} has room for {inodes.f_favail} more files only",
            )


def _disks(home: Home) -> dict[int, Path]:
    """The disks that the home's folders lie on, each by the first of them."""
    disks: dict[int, Path] = {}
    for folder in (home.root, *(home.root / name for name in FOLDERS)):
        if folder.is_dir():
            disks.setdefault(folder.stat().st_dev, folder)
    return disks


def _filesystems(home: Home, loaded: Settings) -> Iterator[Line]:
    kind, inbox = filesystem_of(home.root), filesystem_of(home.inbox)
    if is_network(kind):
        hint = (
            "the database would be damaged sooner or later: put the home on a disk of this machine"
        )
        yield Line(
            "file system", "problem", f"the home is on {kind}, a network file system; {hint}"
        )
    else:
        yield Line("file system", "ok", f"the home is on {kind}")
    if is_network(inbox):
        how = "the folder is searched every few seconds instead (polling)"
        state: Literal["ok", "problem"] = "ok" if loaded.watch != "events" else "problem"
        hint = "" if state == "ok" else '; set watch to "auto"'
        yield Line("inbox", state, f"it is on {inbox}, where arrivals are not told: {how}{hint}")
    if len(_disks(home)) > 1:
        said = "the home's folders are on several disks: clips are copied from one to the other, not just renamed"
        yield Line(
            "file system", "warning", f"{said}; have inbox/, classified/ and the others on one disk"
        )


def _inotify(home: Home) -> Iterator[Line]:
    folders = sum(
        1 for name in ("inbox", "classified", "labelled") for _ in os.walk(home.root / name)
    )
    try:
        watches, instances = (
            int((INOTIFY / name).read_text()) for name in ("max_user_watches", "max_user_instances")
        )
    except (OSError, ValueError):
        yield Line(
            "events", "warning", "the kernel has no inotify: folders are searched every few seconds"
        )
        return
    if folders > watches * 0.8:
        hint = "raise fs.inotify.max_user_watches (sysctl), or set watch to polling"
        yield Line(
            "events",
            "warning",
            f"{folders} folders to watch, and the kernel allows {watches}; {hint}",
        )
    elif instances < 16:
        hint = "raise fs.inotify.max_user_instances (sysctl)"
        yield Line(
            "events", "warning", f"the kernel allows a user {instances} watchers only; {hint}"
        )
    else:
        yield Line(
            "events", "ok", f"{folders} folders are watched, and the kernel allows {watches}"
        )


def _open_files() -> Iterator[Line]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FILES:
        yield Line(
            "open files",
            "warning",
            f"a process may have {limit} open here; raise it: ulimit -n {FILES}",
        )
    else:
        yield Line("open files", "ok", "a process may have enough of them open")


def _clock(home: Home) -> Iterator[Line]:
    """By the newest dates in the home: a clock that was set back, or clips that a camera has dated wrongly."""
    at = time.time()
    ours = (path for path in (home.database, home.settings) if path.exists())
    ahead = [path.name for path in ours if path.stat().st_mtime > at + AHEAD]
    if ahead:
        hint = "is this machine's clock right? timedatectl shows it"
        yield Line("clock", "problem", f"{' and '.join(ahead)} were written in the future; {hint}")
        return
    try:
        with os.scandir(home.inbox) as entries:
            dated = sum(
                entry.stat(follow_symlinks=False).st_mtime > at + AHEAD for entry in entries
            )
    except OSError:  # said of the folders
        dated = 0
    if dated:
        said = f"files in the inbox are dated in the future ({dated}); they are taken all the same"
        yield Line("clock", "warning", said)
    else:
        yield Line("clock", "ok", f"it is {now():%Y-%m-%d %H:%M} UTC")


def _database(home: Home) -> Iterator[Line]:
    back = "'vidwatch restore' brings the newest backup back"
    try:
        if not home.database.stat().st_size:
            yield Line("database", "problem", f"{home.database} is empty; {back}")
            return
        if problems := damage(home.database):
            yield Line(
                "database", "problem", f"{home.database} is damaged ({'; '.join(problems)}); {back}"
            )
            return
        with opened(home.database, read_only=True) as engine, engine.begin() as connection:
            count = counts(connection)
    except VidwatchError as error:
        yield Line("database", "problem", str(error))
        return
    except (OSError, DatabaseError) as error:
        reason = getattr(error, "orig", error)
        hint = "run this as the daemon's user"
        yield Line("database", "problem", f"{home.database}: {reason}; {hint}")
        return
    yield Line("database", "ok", f"{home.database} is whole: {count['filed']} videos filed")
    unfinished = sum(count[state] for state in ("waiting", "queued", "claimed", "classified"))
    if unfinished and not home.running():
        yield Line("videos", "warning", f"{unfinished} wait for an answer, and no daemon runs")
    if count["failed"]:
        said = f"{count['failed']} could not be classified: 'vidwatch status' and the texts in failed/ say why"
        yield Line("videos", "warning", said)


def _backup(home: Home, loaded: Settings) -> Iterator[Line]:
    made = newest_at(home.backups, now())
    if made is None:
        hint = (
            "the daemon makes them"
            if loaded.backup_hours
            else "backup_hours is 0: none is made by itself"
        )
        others = sorted(home.backups.glob("before-upgrade-*.db"))
        beside = (
            f", but for {others[-1].name} (vidwatch restore takes it where it is named)"
            if others
            else ""
        )
        yield Line(
            "backup",
            "warning",
            f"there is none yet{beside}; {hint}, 'vidwatch backup' makes one now",
        )
        return
    hours = (now() - made).total_seconds() / 3600
    late = loaded.backup_hours and hours > 2 * loaded.backup_hours
    hint = f", and backup_hours is {loaded.backup_hours:g}: does the daemon run?" if late else ""
    yield Line("backup", "warning" if late else "ok", f"the newest is {hours:.0f} hours old{hint}")


def _device(loaded: Settings) -> Iterator[Line]:
    import torch

    has_card = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    if torch.cuda.is_available():
        yield Line("device", "ok", f"{torch.cuda.get_device_name(0)}")
    elif loaded.device == "cuda":
        hint = 'set it to "auto" or "cpu", or mend the driver (nvidia-smi)'
        yield Line(
            "device", "problem", f'device is "cuda", and PyTorch finds no usable GPU; {hint}'
        )
    elif has_card:
        hint = "does nvidia-smi work as this user, and is PyTorch one with CUDA?"
        yield Line(
            "device",
            "warning",
            f"there is an NVIDIA card that PyTorch cannot use: the processor works; {hint}",
        )
    else:
        yield Line("device", "ok", f"no GPU: {os.cpu_count()} processor cores work")


def _model(home: Home, loaded: Settings) -> Iterator[Line]:
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
        hint = f"is it misspelt? Known are {', '.join(sorted(known))}"
        yield Line(
            "settings",
            "warning",
            f"thresholds: no model in use knows a class {', '.join(unknown)}; {hint}",
        )


def _versions() -> Iterator[Line]:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    said = f"vidwatch {version('vidwatch')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    yield Line("versions", "ok", f"{said}, {platform.system()} {platform.release()}, {libraries}")

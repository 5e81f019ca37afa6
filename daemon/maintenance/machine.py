"""Whether a machine is fit for vidwatch: the part of `vidwatch doctor` about kernel and hardware.

Changes nothing.
"""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from daemon.home.clock import local_time, now
from daemon.home.folder import Home
from daemon.home.settings import Settings
from daemon.maintenance.finding import Line
from daemon.maintenance.versions import LIBRARIES, read_versions, version_of
from learner.errors import PassingError
from learner.folders import walk
from learner.process import usable_cores
from learner.texts import counted

INOTIFY = Path("/proc/sys/fs/inotify")
FILES = 1024  # that a daemon may have open: a log, the database, decoders and what they read
INSTANCES = 16  # inotify watchers of a user
# Seconds that a file may be dated in the future by a camera or a share whose clock is wrong.
AHEAD = 3600


def check_file_events(home: Home) -> Iterator[Line]:
    """Whether the kernel reports new files in as many folders as there are."""
    watched = ("inbox", "classified", "labelled")
    folders = sum(1 for name in watched for _ in walk(home.root / name))
    try:
        watches = int((INOTIFY / "max_user_watches").read_text())
        instances = int((INOTIFY / "max_user_instances").read_text())
    except (OSError, ValueError):
        text = "the kernel has no inotify: folders are searched every few seconds"
        yield Line("events", "warning", text)
        return
    if folders > watches * 0.8:
        hint = "raise fs.inotify.max_user_watches (sysctl), or set watch to polling"
        text = f"{folders} folders to watch, and the kernel allows {watches}; {hint}"
        yield Line("events", "warning", text)
    elif instances < INSTANCES:
        hint = "raise fs.inotify.max_user_instances (sysctl)"
        text = f"the kernel allows a user only {instances} watchers; {hint}"
        yield Line("events", "warning", text)
    else:
        text = f"{folders} folders are watched, and the kernel allows {watches}"
        yield Line("events", "ok", text)


def check_open_files() -> Iterator[Line]:
    """Whether a process may have enough files open."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < FILES:
        text = f"a process may have only {limit} open here; raise it: ulimit -n {FILES}"
        yield Line("open files", "warning", text)
    else:
        yield Line("open files", "ok", "a process may have enough files open")


def check_clock(home: Home) -> Iterator[Line]:
    """Whether the clock is right, by the newest dates in the home.

    If they are in the future, the clock was set back, or a camera has dated its clips wrongly.
    """
    latest = time.time() + AHEAD
    database = home.database
    written = [home.settings, *([database] if isinstance(database, Path) else [])]
    ours = [path for path in written if path.exists()]
    if ahead := [path.name for path in ours if path.stat().st_mtime > latest]:
        hint = "is this machine's clock right? timedatectl shows it"
        text = f"{' and '.join(ahead)} were written in the future; {hint}"
        yield Line("clock", "problem", text)
        return
    try:
        with os.scandir(home.inbox) as entries:
            n = sum(entry.stat(follow_symlinks=False).st_mtime > latest for entry in entries)
    except OSError:  # the check of the folders shows it
        n = 0
    if n:
        text = f"files in the inbox are dated in the future ({n}); they are classified all the same"
        yield Line("clock", "warning", text)
    else:
        yield Line("clock", "ok", f"it is {local_time(now())}")


def check_device(loaded: Settings) -> Iterator[Line]:
    """Whether PyTorch can use the device that the settings name."""
    import torch

    has_card = Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()
    if torch.cuda.is_available():
        yield _check_gpu(torch.cuda.get_device_name(0), loaded)
    elif loaded.device == "cuda":
        hint = 'set it to "auto" or "cpu", or repair the driver (nvidia-smi)'
        text = f'device is "cuda", and PyTorch finds no usable GPU; {hint}'
        yield Line("device", "problem", text)
    elif has_card:
        hint = "does nvidia-smi work as this user, and is PyTorch one with CUDA?"
        text = f"PyTorch cannot use the NVIDIA card, so the processor is used; {hint}"
        yield Line("device", "warning", text)
    else:
        usable = usable_cores()
        cores = counted(min(loaded.cores or usable, usable), "processor core")
        openvino = version_of("openvino")
        by = f", and OpenVINO {openvino} for models that it makes faster" if openvino else ""
        yield Line("device", "ok", f"no GPU; the daemon may use {cores}{by}")


def _check_gpu(name: str, loaded: Settings) -> Line:
    """Whether a GPU that PyTorch finds can compute: it may be older than PyTorch was built for."""
    import torch

    from learner.precision import gpu_problem

    if loaded.device == "cpu":
        return Line("device", "ok", f'{name} is not used: device is "cpu"')
    try:
        problem = gpu_problem(torch.device("cuda"))
    except PassingError as error:
        return Line("device", "warning", f"{name}: {error}")
    if problem is None:
        return Line("device", "ok", name)
    text = f"PyTorch cannot compute on {name} ({problem})"
    hint = 'install a PyTorch that was built for this GPU, or set device to "cpu"'
    if loaded.device == "cuda":
        return Line("device", "problem", f"{text}; {hint}")
    return Line("device", "warning", f"{text}, so the processor is used; {hint}")


def list_versions() -> Iterator[Line]:
    """The versions of vidwatch, Python, SQLite, the system and the libraries."""
    found = read_versions()
    parts = [f"vidwatch {found['vidwatch']}", found["python"], f"SQLite {found['sqlite']}"]
    parts += [found["system"], f"FFmpeg {found['ffmpeg']}"]
    parts += [f"{name} {found['libraries'][name]}" for name in LIBRARIES]
    yield Line("versions", "ok", ", ".join(parts))

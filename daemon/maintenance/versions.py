"""The versions of vidwatch and of what it stands on, for `vidwatch version` and `doctor`.

Nothing heavy is imported: PyTorch is asked by its files, and the kernel for the GPU. No path and no
name of a person or a machine is in it, so that it may be shown to anybody.
"""

import platform
import re
import sqlite3
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from learner.process import processor_name, usable_cores

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
EXTRAS = ("psycopg", "pyarrow", "ray", "apprise", "openvino")
"""Of the extras: the library that each is for."""
NVIDIA = Path("/proc/driver/nvidia")


def read_versions() -> dict[str, Any]:
    """All versions, the hardware included; None for what is not there."""
    return {
        "vidwatch": version("vidwatch"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": _system(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "gpu": _gpus(NVIDIA),
        "gpu_driver": _driver(NVIDIA),
        "cuda": _cuda(),
        "ffmpeg": _ffmpeg(),
        "sqlite": sqlite3.sqlite_version,
        "libraries": {name: version_of(name) for name in (*LIBRARIES, *EXTRAS)},
    }


def version_of(library: str) -> str | None:
    """The version of an installed library; None if it is not installed."""
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = "of an unknown name"
    return f"{platform.system()} {platform.release()} {platform.machine()}, {name}"


def _gpus(folder: Path) -> list[str]:
    """The models of NVIDIA's GPUs, as their driver names them."""
    texts = (_text(path) for path in sorted(folder.glob("gpus/*/information")))
    found = (re.search(r"^Model:\s*(.+)$", text, re.MULTILINE) for text in texts)
    return [one[1].strip() for one in found if one]


def _driver(folder: Path) -> str | None:
    found = re.search(r"Kernel Module.*?\s(\d+\.\d[\d.]*)", _text(folder / "version"))
    return found[1] if found else None


def _cuda() -> str | None:
    """The version of CUDA that PyTorch was built for; None if it was built for the processor."""
    try:
        path = distribution("torch").locate_file("torch/version.py")
    except PackageNotFoundError:
        return None
    found = re.search(r"^cuda\b.*= '(.+)'$", _text(Path(str(path))), re.MULTILINE)
    return found[1] if found else None


def _ffmpeg() -> str | None:
    """The version of the FFmpeg within PyAV; None if PyAV cannot be loaded."""
    try:
        import av
    except ImportError:
        return None
    return av.ffmpeg_version_info


def _text(path: Path) -> str:
    """What a file holds; empty if it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""

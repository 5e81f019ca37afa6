"""A system of its own for what is installed: this machine's programs and settings, with all changes
kept apart. systemd does not run in it.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = "opt/vidwatch"
PYTHON = "/usr/bin/python3"
TOOLS = (
    "unshare",
    "mount",
    "chroot",
    "runuser",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "systemctl",
)


class System:
    """A root folder with this machine's /usr and /etc; systemd does not run in it."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder, self.root, self.source = folder, folder / "root", source
        for name in (
            "usr",
            "etc",
            "proc",
            "dev",
            "tmp",
            "run",
            "root",
            "opt",
            "var/lib",
            "var/cache",
            "var/tmp",
        ):
            (self.root / name).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        (self.root / "var/tmp").chmod(0o1777)
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                (self.root / name).symlink_to(f"usr/{name}")
        self.mounts = "set -e\n"
        for name in ("usr", "etc"):
            upper, work = folder / f"changed-{name}", folder / f"work-{name}"
            upper.mkdir()
            work.mkdir()
            options = f"lowerdir=/{name},upperdir={upper},workdir={work}"
            self.mounts += f"mount -t overlay overlay -o {shlex.quote(options)} {shlex.quote(str(self.root / name))}\n"
        for place in ("/proc", "/dev", str(source), str(ROOT), sys.prefix):
            target = self.root / place.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            self.mounts += f"mount --rbind {shlex.quote(place)} {shlex.quote(str(target))}\n"

    def run(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inside = f'{self.mounts}exec chroot {shlex.quote(str(self.root))} sh -c "$1"\n'
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", inside, "sh", command],
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                # What the program needs is taken from this environment, so that no gigabytes are
                # fetched.
                **{
                    "PIP_NO_DEPS": "1",
                    "PIP_NO_BUILD_ISOLATION": "0",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                },
                **environment,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    def install(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.run(shlex.join(["sh", str(self.source / "deploy/install.sh"), *options]))

    def mode(self, name: str) -> str:
        """Mode, owner and group, as inside."""
        return self.run(f"stat -c '%a %U %G' /{name}").stdout.strip()


def not_source(folder: str, names: list[str]) -> set[str]:
    """What is no part of a checkout, or not needed for an installation."""
    own = {"home", "build", "dist", "tests"} if Path(folder) == ROOT else set()
    return {name for name in names if name in own or name.startswith((".", "__pycache__"))}


@pytest.fixture
def system(tmp_path: Path) -> System:
    if os.geteuid():
        pytest.skip("needs root")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"needs {', '.join(missing)}")
    if not importlib.util.find_spec("hatchling"):
        pytest.skip("needs hatchling")
    version = subprocess.run(
        [PYTHON, "-c", "import ensurepip, sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
    )
    if version.stdout.split() != [str(part) for part in sys.version_info[:2]]:
        pytest.skip(f"needs {PYTHON} of this version, with venv")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=not_source)
    system = System(tmp_path, source)
    if system.run("true").returncode:
        pytest.skip("needs overlay mounts")
    assert system.run(f"{PYTHON} -m venv /{PROGRAM}/venv").returncode == 0
    (packages,) = (system.root / PROGRAM / "venv/lib").glob("python*/site-packages")
    (packages / "of-the-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return system

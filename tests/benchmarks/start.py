"""How soon `vidwatch` answers, and its daemon is ready, against bare imports of what they cannot do
without.

Every process finds all modules compiled, as after an installation; the homes are empty.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from table import Row, in_turns

from learner.catalogue import STARTER

VIDWATCH = str(Path(sys.executable).with_name("vidwatch"))
LIBRARIES = "import sqlalchemy, rich"
MODEL = f"import torch, timm; from safetensors.torch import load_file; load_file({str(STARTER)!r})"
LONGEST = 300  # seconds


def rows(clips: Path) -> Iterator[Row]:
    """Help, status, and the daemon, each in a new process. No clip is read."""
    with tempfile.TemporaryDirectory() as scratch:
        places = {"VIDWATCH_HOME": f"{scratch}/home", "XDG_CACHE_HOME": f"{scratch}/cache"}
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": f"{scratch}/compiled"}
        environment = {**os.environ, **places, **compiled}
        vidwatch = partial(run, environment, VIDWATCH)
        vidwatch("init")
        libraries, model = (
            partial(run, environment, sys.executable, "-c", code) for code in (LIBRARIES, MODEL)
        )
        bare, help_page, shown = in_turns(
            libraries, partial(vidwatch, "--help"), partial(vidwatch, "status"), rounds=9
        )
        yield Row("vidwatch --help", help_page, "s", LIBRARIES, bare, "≤ 2")
        yield Row("vidwatch status, empty home", shown, "s", LIBRARIES, bare, "≤ 2")
        bare, ready = in_turns(model, partial(start, environment, Path(scratch, "notify")))
        yield Row(
            "daemon ready, its model loaded",
            ready,
            "s",
            "import torch, timm, the weights",
            bare,
            "≤ 1.3",
            "starter",
        )


def run(environment: Mapping[str, str], *command: str) -> None:
    """To its end, which is a good one."""
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def start(environment: Mapping[str, str], address: Path) -> None:
    """A daemon, until it says that it is ready."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(address))
        notices.settimeout(LONGEST)
        listened = {**environment, "NOTIFY_SOCKET": str(address)}
        daemon = subprocess.Popen((VIDWATCH, "run"), env=listened, stderr=subprocess.DEVNULL)
        try:
            while b"READY=1" not in notices.recv(4096):
                pass
        finally:
            daemon.kill()
            daemon.wait()
            address.unlink()

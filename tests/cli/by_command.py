"""The installed command, as a person gives it."""

import os
import subprocess
import sys
from pathlib import Path

VIDWATCH = Path(sys.executable).with_name("vidwatch")


def vidwatch(
    *arguments: str | Path, home: Path | str = "/nonexistent/home"
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "VIDWATCH_HOME": str(home),
        "VIDWATCH_DEVICE": "cpu",
        "COLUMNS": "120",
    }
    return subprocess.run([VIDWATCH, *arguments], capture_output=True, text=True, env=environment)

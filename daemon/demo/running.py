"""Runs the installed command on the home of the tour: its daemon, and what a person would give.

Settings of the person's own homes do not count: the environment's VIDWATCH_ variables are left out.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from daemon.home.folder import Home
from learner.errors import VidwatchError

# With -P, no module of the folder in which the person stands is taken for one of Python's.
VIDWATCH = (sys.executable, "-P", "-c", "from daemon.cli.app import main; main()")
LONGEST_END = 20.0  # seconds; the daemon itself takes ten at most


class Runner:
    """Commands on one home, and its daemon."""

    def __init__(self, home: Home, cache: Path | None) -> None:
        """Prepare the environment.

        Args:
            home: The home.
            cache: Where features are kept; None for the person's own cache.
        """
        self._home = home
        kept = {"VIDWATCH_DEVICE"}
        self._environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("VIDWATCH_") or name in kept
        }
        self._environment["VIDWATCH_HOME"] = str(home.root)
        if cache is not None:
            self._environment["XDG_CACHE_HOME"] = str(cache)
        self._daemon: subprocess.Popen[bytes] | None = None

    def command(self, words: Sequence[str]) -> None:
        """Give a command, which prints where this process does.

        Raises:
            VidwatchError: it failed; it has said why.
        """
        sys.stdout.flush()
        done = subprocess.run([*VIDWATCH, *words], env=self._environment)
        if done.returncode:
            raise VidwatchError(f"the tour cannot go on: 'vidwatch {words[0]}' failed")

    def start_daemon(self) -> None:
        """Start the daemon. What it logs is in the home's folder logs/."""
        self._daemon = subprocess.Popen(
            [*VIDWATCH, "run"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def require_daemon(self) -> None:
        """Check that the daemon runs.

        Raises:
            VidwatchError: it has ended.
        """
        if self._daemon is None or self._daemon.poll() is None:
            return
        raise VidwatchError(f"the daemon of the tour has ended{self._last_words()}")

    def stop(self) -> None:
        """End the daemon, and wait until it has. A second Ctrl-C does not end that."""
        if self._daemon is None:
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self._daemon.terminate()
            self._daemon.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        finally:
            signal.signal(signal.SIGINT, before)
            self._daemon = None

    def _last_words(self) -> str:
        """The end of its log: the home may be removed soon."""
        logs = sorted(self._home.logs.glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines = logs[-1].read_text(errors="replace").splitlines() if logs else []
        return f": {lines[-1]}" if lines else ""

"""Starts the command: Ctrl-C ends it quietly, also while its modules are being loaded."""

import sys


def main() -> None:
    """Run the command; exit status 130 if Ctrl-C ended it."""
    try:
        from daemon.cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)

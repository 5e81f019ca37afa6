"""Starts the command: Ctrl-C ends it quietly, also while its modules are being loaded."""

import sys


def main() -> None:
    """Run the command; exit status 130 if Ctrl-C ended it."""
    try:
        from daemon.cli import ending, plain_status

        if home := plain_status.home_of(sys.argv[1:]):
            from daemon.home.folder import Home

            as_json = sys.argv[-1] == "--json"
            ending.run(lambda: plain_status.show(Home.at(home), as_json=as_json))
        else:
            from daemon.cli.app import main as run

            run()
    except KeyboardInterrupt:
        sys.exit(130)

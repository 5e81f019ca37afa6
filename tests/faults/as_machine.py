"""The command `vidwatch` as on a machine of its own: what differs there, the environment says.

The home may be reached by a link, which is not followed: so it lies at another path. The clock is
VIDWATCH_TEST_AHEAD seconds ahead.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.cli.app import main
from daemon.home import clock
from daemon.home.folder import Home

AHEAD = timedelta(seconds=float(os.environ.get("VIDWATCH_TEST_AHEAD", "0")))


def unlinked(path: str | os.PathLike[str]) -> Home:
    return Home(Path(path).absolute())


Home.at = staticmethod(unlinked)  # type: ignore[method-assign, assignment]
clock.machine_time = lambda: datetime.now(UTC) + AHEAD  # type: ignore[assignment]

if __name__ == "__main__":
    main()

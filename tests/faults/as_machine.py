"""The command `vidwatch` as on a machine of its own: what differs there, the environment says.

The home may be reached by a link, which is not followed: so it lies at another path. The clock is
VIDWATCH_TEST_AHEAD seconds ahead. With VIDWATCH_TEST_HURRY, leases and silences are short.
"""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon.database import daemons, postgres
from daemon.home import clock

AHEAD = timedelta(seconds=float(os.environ.get("VIDWATCH_TEST_AHEAD", "0")))

clock.machine_time = lambda: datetime.now(UTC) + AHEAD
if os.environ.get("VIDWATCH_TEST_HURRY"):  # before others import them
    daemons.SHARED_LEASE = timedelta(seconds=6)
    postgres.STILL = 4000
    from daemon.service import jobs

    jobs.SHARED_RENEWAL = timedelta(seconds=2)

from daemon.cli.app import main  # noqa: E402
from daemon.home.folder import Home  # noqa: E402


def unlinked(path: str | os.PathLike[str]) -> Home:
    return Home(Path(path).absolute())


Home.at = staticmethod(unlinked)  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()

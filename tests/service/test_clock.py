"""A daemon that runs while its clock is set back by years, and what it was waiting for."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import SLOWEST, Daemon, drop
from installed import daemon as daemon

from learner.catalogue import starter_classes

# The clock of the process is ahead by so many seconds as a file says.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long ahead(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_AHEAD"), "re");
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t which, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(which, at);
    if (!result && which == CLOCK_REALTIME) at->tv_sec += ahead();
    return result;
}
"""
KINDS_OF_DATABASE = ("sqlite",)  # else the clock of the server counts
YEARS = 10 * 365 * 86400


@pytest.fixture
def ahead(daemon: Daemon, tmp_path: Path) -> Path:
    """The file that says by how much the daemon's clock is ahead; at first by years."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    source = tmp_path / "clock.c"
    source.write_text(CLOCK)
    library = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    seconds = tmp_path / "seconds"
    seconds.write_text(str(YEARS))
    daemon.environment |= {"LD_PRELOAD": str(library), "CLOCK_AHEAD": str(seconds)}
    daemon.start()
    del daemon.environment["LD_PRELOAD"]
    return seconds


def wait_until(condition: Callable[[], bool], daemon: Daemon) -> None:
    deadline = time.monotonic() + SLOWEST
    while not condition():
        assert time.monotonic() < deadline, daemon.status()
        time.sleep(0.2)


@pytest.mark.slow
def test_nothing_waits_for_the_years_that_the_clock_was_ahead(daemon: Daemon, ahead: Path) -> None:
    elsewhere = daemon.root.parent / "elsewhere"
    elsewhere.mkdir()
    folders = [daemon.root / "classified" / name for name in (*starter_classes(), "_unsure")]
    for folder in folders:
        folder.symlink_to(elsewhere)
    for number, name in enumerate(("Zebra", "Zebra", "Lion"), start=1):
        drop(daemon.root / "labelled" / name, f"{number}.avi", number)
    daemon.wait_for(lambda status: status["filed"] == 3)
    drop(daemon.inbox, "a.avi", 4)
    daemon.wait_for(lambda status: bool(status["troubles"]))
    (year,) = daemon.query("SELECT substr(retry_at, 1, 4) FROM videos WHERE name = 'a.avi'")[0]
    assert int(year) > time.gmtime().tm_year + 8
    ahead.write_text("0")
    for folder in folders:
        folder.unlink()
    daemon.wait_for(lambda status: status["filed"] == 4)
    (daemon.root / "labelled/Zebra/1.avi").unlink()
    withdrawn = (
        "SELECT v.name FROM labels l JOIN videos v ON v.id = video_id WHERE verdict = 'withdrawn'"
    )
    wait_until(lambda: daemon.query(withdrawn) == [("1.avi",)], daemon)
    code, log = daemon.end(signal.SIGTERM)
    assert (code, "Traceback" in log) == (0, False)
    assert "the clock was set back by" in log
